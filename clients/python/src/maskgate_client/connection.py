"""What both clients do alike on their way to the gateway."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import httpx

from maskgate_client.call import Call
from maskgate_client.errors import Busy, Unreachable
from maskgate_client.progress import Progress, Tell
from maskgate_client.version import __version__

DEFAULT_URL = "http://127.0.0.1:8080"

_CONNECT_SECONDS = 5.0
_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Retry:
    """How patient a client is with a busy gateway.

    Only `Busy` (429, 503) is tried again, since only then is it certain that the upload was not processed.

    Attributes:
        attempts: how often a request is sent at most; 1 never sends again.
        longest_wait: seconds; an error that asks for a longer wait is raised at once.
    """

    attempts: int = 4
    longest_wait: float = 30.0

    def wait(self, problem: Busy, attempt: int) -> float | None:
        """Return the seconds to wait after the `attempt`-th try (from 1) met `problem`, or None to give up.

        The gateway's own Retry-After counts; without one it is 0.5 s, doubled with every try.
        """
        seconds = 0.5 * 2 ** (attempt - 1) if problem.retry_after is None else float(problem.retry_after)
        return seconds if attempt < self.attempts and seconds <= self.longest_wait else None


def options(base_url: str, timeout: float, key: str | None) -> dict[str, Any]:
    """Return what httpx's clients are made with.

    Raises:
        ValueError: `key` is none that a header can carry.
    """
    headers = {"user-agent": f"maskgate-client/{__version__}"}
    if key is not None:
        if not is_key(key):
            raise ValueError("a key is of printable ASCII characters, without spaces")
        headers["authorization"] = f"Bearer {key}"
    return {"base_url": base_url, "timeout": httpx.Timeout(timeout, connect=_CONNECT_SECONDS), "headers": headers}


def is_key(text: str) -> bool:
    """Return whether a header can carry `text` as a key."""
    return _KEY.fullmatch(text) is not None


def arguments(call: Call[Any]) -> dict[str, Any]:
    """Return `call` as the arguments of httpx's `request`."""
    headers = {"accept": call.accept, "x-request-id": call.request_id, **call.headers}
    # Of tiles of one image all parts have its name.
    # Files go out in pieces: of bytes httpcore copies what is left at every send, which takes the square of their size.
    opened: Callable[[bytes], BytesIO] = BytesIO
    if call.files and call.progress:
        opened = _Told(call.progress, sum(len(data) for _, data, _ in call.files.values())).file
    files = [
        (part.partition("/")[0], (name, opened(data), kind)) for part, (name, data, kind) in (call.files or {}).items()
    ]
    patience = {} if call.seconds is None else {"timeout": httpx.Timeout(call.seconds, connect=_CONNECT_SECONDS)}
    body = {"files": files or None, "json": call.json, "content": call.content, **patience}
    return {"method": call.method, "url": call.path, "params": call.params, "headers": headers, **body}


class _Told:
    """Tells how much of some files was read."""

    def __init__(self, progress: Tell, total: int) -> None:
        self._progress = progress
        self._total = total
        self._sent = 0

    def file(self, data: bytes) -> BytesIO:
        """Return one of the files; it tells of what is read of it."""
        return _ToldFile(data, self._read)

    def _read(self, count: int) -> None:
        self._sent += count
        self._progress(Progress("send", self._sent, self._total))


class _ToldFile(BytesIO):
    def __init__(self, data: bytes, tell: Callable[[int], None]) -> None:
        super().__init__(data)
        self._told = tell

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, and tell that they are on their way."""
        data = super().read(size)
        if data:
            self._told(len(data))
        return data


def unreachable(base_url: httpx.URL, error: httpx.RequestError) -> Unreachable:
    """Return what to tell the caller when no answer came."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
        return Unreachable(f"no gateway answers at {base_url}")
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(f"the gateway at {base_url} did not answer in time")
    return Unreachable(f"the connection to {base_url} broke before the answer was complete")
