"""Who asked for what, and what became of it: a line per task request, for those who must account for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

_log = logging.getLogger("gateway.audit")


@dataclass(frozen=True)
class AuditEntry:
    """One task request under `/v1` or `/v2`, or one that was refused for its key.

    Nothing of what was sent is here: no pixels, names of files, paths, queries, keys or addresses. Every value is of a
    closed set or a number, but for the request's id, which is 64 characters of the caller's at most.

    Attributes:
        tenant: whose key it was; None: nobody's.
        scope: what a key needs for it, or `any`; None: the path is not known.
        route: the route's template; `unmatched` where it was not routed.
        model: which answered, or was asked for where it is one that is served.
        status: of the answer; 499: the caller left before it.
        reason: the code of the problem document, where that was the answer.
        bytes_in: of the body, as far as it was read.
        bytes_out: of the answer's body, as far as it was taken.
        seconds: from the first byte in to the last byte out.
    """

    request_id: str
    tenant: str | None
    scope: str | None
    method: str
    route: str
    model: str | None
    status: int
    reason: str | None
    bytes_in: int
    bytes_out: int
    seconds: float

    def write(self) -> None:
        """Write the line; what the entry does not have is not in it."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        _log.info("%s", " ".join(f"{name}={_shown(value)}" for name, value in fields.items()), extra={"fields": fields})


def _shown(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
