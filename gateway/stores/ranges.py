"""Files of the stores, read by ranges of their bytes: on the event loop, for threads that wait for them.

A store is trusted to hold what callers may see, and with nothing else: it may stall, lie about lengths, or change a
file while it is read. Each range has its time, its answer is to be of exactly what was asked for, and every answer of a
file is of one version of it.

RFC 9110, 13.1.1 (If-Match), 14 (ranges).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.errors import BodyTooLarge, InputUnreachable
from gateway.scheduling.threads import Threads
from gateway.scheduling.workers import Workers
from gateway.stores.access import MISSING, SILENT, answering, check_address, new_client

if TYPE_CHECKING:
    import httpx

HEAD_BYTES = 64 * 1024
"""Bytes that are read of a file when it is opened."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")
# How long a range may take: to begin with, and per byte, at the pace that uploads have to keep.
_SECONDS, _BYTES_PER_SECOND = 10.0, 64 * 1024
_TRIES = 2
# Ranges of one file that are asked for side by side.
_AT_ONCE = 6

Range = tuple[int, int]


class Allowance:
    """How many bytes one request may have read, over all of its files. Lives on the event loop."""

    def __init__(self, most: int, grow: Callable[[int], None]) -> None:
        """Begin with nothing read; `grow` is told of bytes before they are read."""
        self._most = self._left = most
        self._grow = grow

    def take(self, amount: int) -> None:
        """Count bytes that are to be read.

        Raises:
            BodyTooLarge: they are more than may be.
            MaskgateError: as `grow`.
        """
        if amount > self._left:
            raise BodyTooLarge(
                f"More than {self._most} bytes would be read of the files that are referred to. Ask for a part of them "
                "(bbox), and say nodata where they have a border that they do not declare.",
                limit=self._most,
            )
        self._grow(amount)
        self._left -= amount


class StoredFile:
    """One file of a store. `Stores.open` makes it.

    Attributes:
        address: where it lies, without what an address may say to whom it was given.
        length: bytes.
        version: as the store tells versions apart, by ETag or date; empty: it does not.
        head: its first bytes, `HEAD_BYTES` or as many as there are.
    """

    def __init__(self, client: httpx.AsyncClient, stores: Sequence[str], address: str, allowance: Allowance) -> None:
        """Ask for nothing yet."""
        self._client, self._stores, self._asked, self._allowance = client, stores, address, allowance
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.address = address.partition("?")[0]
        self.length, self.version, self.head = -1, "", b""

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return ranges of the file, each from a first byte to before another. From any thread but the event loop's.

        Raises:
            BodyTooLarge: as `Allowance.take`.
            InputUnreachable: the store does not give them out, or not in time, or other bytes; or the file changed.
            InputForbidden: the store leads elsewhere.
        """
        return asyncio.run_coroutine_threadsafe(self.parts(ranges), self._loop).result()

    @property
    def identity(self) -> bytes:
        """What tells the file, in this version, from others."""
        return f"{self.address}\n{self.length}\n{self.version}".encode()

    async def open(self) -> None:
        """Read the head.

        Raises:
            MaskgateError: as `read`.
        """
        self.head = await self._part(0, HEAD_BYTES)

    async def parts(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return what `read` returns, on the event loop; errors as there."""
        tasks = [asyncio.create_task(self._part(*one)) for one in ranges]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _part(self, start: int, stop: int) -> bytes:
        import httpx

        self._allowance.take(stop - start)
        tries = 0
        async with self._room:
            while True:
                tries += 1
                try:
                    async with asyncio.timeout(_SECONDS + (stop - start) / _BYTES_PER_SECOND):
                        return await self._answer(start, stop)
                except (TimeoutError, httpx.TimeoutException) as error:
                    raise InputUnreachable("The store takes too long.") from error
                except httpx.HTTPError as error:
                    if tries == _TRIES:
                        raise InputUnreachable(SILENT) from error

    async def _answer(self, start: int, stop: int) -> bytes:
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        if self.version.startswith('"'):
            headers["If-Match"] = self.version
        async with answering(self._client, self._stores, self._asked, headers) as answer:
            wanted = self._check(answer, start, stop)
            body = bytearray()
            async with asyncio.timeout(_SECONDS) as stall:
                async for piece in answer.aiter_raw():
                    body += piece
                    if len(body) > wanted:
                        break
                    stall.reschedule(self._loop.time() + _SECONDS)
        if len(body) != wanted:
            raise InputUnreachable("The store gives out other bytes than it says.")
        return bytes(body)

    def _check(self, answer: httpx.Response, start: int, stop: int) -> int:
        """Return how many bytes an answer is to have; with the first one the file's length and version are known."""
        if answer.status_code == 200:
            raise InputUnreachable("The store gives out whole files alone, and no ranges of them.")
        if answer.status_code == 412:
            raise InputUnreachable("The file changed while it was read.")
        if answer.status_code != 206:
            raise InputUnreachable(MISSING)
        said = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        first, last, length = (int(number) for number in said.groups()) if said else (-1, -1, -1)
        if first != start or last != min(stop, length) - 1:
            raise InputUnreachable("The store gives out other bytes than it was asked for.")
        version = answer.headers.get("etag") or answer.headers.get("last-modified", "")
        if self.length < 0:
            self.length, self.version = length, version
        if (length, version) != (self.length, self.version):
            raise InputUnreachable("The file changed while it was read.")
        return last + 1 - first


class Stores:
    """The stores of the settings. Lives on the event loop.

    Args:
        allowed: addresses that those of inputs begin with.
        threads: where work is done that waits for them: so whoever waits for a store keeps nobody else from a thread.

    Attributes:
        allowed: as given.
        workers: of those threads.
    """

    def __init__(self, allowed: Sequence[str], threads: Threads) -> None:
        """Connect to nothing yet."""
        self.allowed = allowed
        self.workers = Workers(threads)
        self._client: httpx.AsyncClient | None = None

    async def open(self, address: str, allowance: Allowance) -> StoredFile:
        """Return a file that lies at an address, its head read.

        Raises:
            MaskgateError: as `StoredFile.read`.
        """
        check_address(address, self.allowed)
        if self._client is None:
            self._client = new_client()
        file = StoredFile(self._client, self.allowed, address, allowance)
        await file.open()
        return file

    async def close(self) -> None:
        """Let go of the connections and threads."""
        if self._client is not None:
            await self._client.aclose()
        # Not here: threads that wait for this loop have to hear that nothing comes any more.
        await asyncio.to_thread(self.workers.close)
