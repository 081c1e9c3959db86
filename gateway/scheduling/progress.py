"""How far the requests are that run in this process, for callers who wait for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import RequestNotFound
from gateway.scheduling.timeline import Timeline


class ProgressBoard:
    """The timelines of running requests, by tenant and request id; bounded as they are, by admission.

    Lives on the event loop.
    """

    def __init__(self) -> None:
        """Show nothing yet."""
        self._running: dict[tuple[str, str], Timeline] = {}

    @contextmanager
    def shown(self, tenant: str, request_id: str, timeline: Timeline) -> Iterator[None]:
        """Show a request while inside; of two of one tenant and one id, that which began last."""
        key = tenant, request_id
        self._running[key] = timeline
        try:
            yield
        finally:
            if self._running.get(key) is timeline:
                del self._running[key]

    def of(self, tenant: str, request_id: str) -> Timeline:
        """Return the timeline of a request.

        Raises:
            RequestNotFound: none of that id runs for `tenant`. That one runs for another shows in nothing.
        """
        try:
            return self._running[tenant, request_id]
        except KeyError:
            raise RequestNotFound("No request of that id runs here; it ended, or runs in another process.") from None
