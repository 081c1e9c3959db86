"""Bodies into memory, multipart or raw: never onto a disk, never past a limit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    CallerLeft,
    MaskgateError,
    PartProblem,
    UnsupportedMedia,
    UploadIncomplete,
    UploadTooSlow,
)
from gateway.registry import Part
from gateway.scheduling.admission import Reservation
from gateway.settings import LimitSettings

_MOST_OF_ONE = 256

Watch = Callable[[bytearray], None]
"""Is told of the bytes of a part when more of them have arrived. It may copy of them; a view of them would keep them
from growing."""


async def read_parts(
    names: Sequence[str],
    request: Request,
    limits: LimitSettings,
    reservation: Reservation,
    optional: Sequence[str] = (),
    several: Sequence[str] = (),
    watch: Watch | None = None,
) -> dict[str, memoryview]:
    """Return the body's parts by name: all of `names`, and those of `optional` that are there, each once.

    Those of `several` may be there more than once: the others are then ``name/1``, ``name/2`` and so on.
    `watch` is told of each as it arrives.

    A part's file name and content type are not kept; what it is, its bytes say.

    Raises:
        UnsupportedMedia: the body is not multipart/form-data.
        BadRequest: it is not well-formed, or ends early, or has other parts.
        MaskgateError: as `read_body`.
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != b"multipart/form-data" or b"boundary" not in options:
        raise UnsupportedMedia("Send the images as multipart/form-data with a boundary.")
    form = _Form(options[b"boundary"], names, optional, several, watch)
    await _receive(request, limits, reservation, form.feed)
    return form.parts()


async def read_only_part(
    part: Part, request: Request, limits: LimitSettings, reservation: Reservation, watch: Watch | None = None
) -> dict[str, memoryview]:
    """Return the only part of a task by its name: from a multipart body, or the body itself where it says it is that.

    `watch` is told of it as it arrives.

    Raises:
        UnsupportedMedia: the body is neither multipart/form-data nor of a media type of the part.
        MaskgateError: as `read_parts` and `read_body`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in part.media_types:
        return {part.name: memoryview(await read_body(request, limits, reservation, watch))}
    return await read_parts((part.name,), request, limits, reservation, watch=watch)


async def read_body(
    request: Request, limits: LimitSettings, reservation: Reservation, watch: Watch | None = None
) -> bytearray:
    """Return the body as it is; `watch` is told of it as it arrives.

    Raises:
        UnsupportedMedia: the body is compressed.
        BodyTooLarge: it is declared or found longer than `limits.body_bytes`.
        UploadTooSlow: it took longer than `limits` have for its size, or is too far behind that pace.
        CallerLeft: the caller hung up.
        Overloaded: the process holds too many bytes already.
    """
    body = bytearray()

    def take(chunk: bytes) -> None:
        body.extend(chunk)
        if watch is not None:
            watch(body)

    await _receive(request, limits, reservation, take)
    return body


async def _receive(
    request: Request, limits: LimitSettings, reservation: Reservation, take: Callable[[bytes], None]
) -> None:
    """Hand the body to `take` as it arrives, every byte of it reserved."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        # Images are compressed already, and raw tensors are for callers beside the gateway: inflating
        # what may be a bomb would cost more than it could save.
        raise UnsupportedMedia("Bodies are read uncompressed.", headers={"Accept-Encoding": "identity"})
    declared = declared_length(request)
    if declared is not None:
        _check_length(declared, limits)
        reservation.grow(declared)
    received = 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(start + _seconds_for(0, declared, limits)) as clock:
            async for chunk in request.stream():
                received += len(chunk)
                if declared is None:
                    _check_length(received, limits)
                    reservation.grow(len(chunk))
                take(chunk)
                clock.reschedule(start + _seconds_for(received, declared, limits))
    except TimeoutError as slow:
        total = _seconds_of(declared or received, limits)
        raise UploadTooSlow(
            f"The body may take {total:.3g} seconds to arrive, and fall behind an even pace by "
            f"{limits.upload_stall_seconds:g}.",
            headers={"Connection": "close"},
        ) from slow
    except ClientDisconnect as gone:
        raise CallerLeft("The caller hung up during the upload.") from gone


@contextmanager
def naming_part(name: str) -> Iterator[None]:
    """Point the problem document of an error raised inside at the part `name`, or farther into it.

    Only of what the caller can mend: no part is to blame for our being late, or not ready.
    """
    try:
        yield
    except MaskgateError as error:
        if error.status < 500:
            error.pointer = f"/{name}{error.pointer or ''}"
        raise


def declared_length(request: Request) -> int | None:
    """Return the bytes that a body has by its header; None: it does not say.

    Raises:
        BadRequest: the header is no number.
    """
    value = request.headers.get("content-length")
    if value is None:
        return None
    if not value.isdecimal():
        raise BadRequest("Content-Length is not a number.")
    return int(value)


def _check_length(length: int, limits: LimitSettings) -> None:
    if length > limits.body_bytes:
        raise BodyTooLarge(
            f"The body may have {limits.body_bytes} bytes.",
            limit=limits.body_bytes,
            headers={"Connection": "close"},
        )


def _seconds_of(size: int, limits: LimitSettings) -> float:
    """Return the time in which a body of `size` bytes is to arrive."""
    return max(limits.upload_seconds, min(size / limits.upload_bytes_per_second, limits.upload_seconds_most))


def _seconds_for(received: int, declared: int | None, limits: LimitSettings) -> float:
    """Return how long after its start an upload may be where it is, before more of it arrives."""
    total = _seconds_of(declared or received, limits)
    if not declared:
        return total
    return min(total, limits.upload_stall_seconds + total * received / declared)


class _Form:
    """Collects the parts of one multipart body as it arrives."""

    def __init__(
        self,
        boundary: bytes,
        names: Sequence[str],
        optional: Sequence[str],
        several: Sequence[str],
        watch: Watch | None,
    ) -> None:
        self._watch = watch
        self._names = names
        self._several = several
        self._counts: Counter[str] = Counter()
        self._known = (*names, *optional)
        self._parts: dict[str, bytearray] = {}
        self._current = bytearray()
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise BadRequest("The multipart boundary is not one.") from error

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if not chunk:
            return
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest("The multipart body is malformed.") from error

    def parts(self) -> dict[str, memoryview]:
        """Return what was collected, once the body is complete."""
        if not self._ended:
            raise UploadIncomplete("The body ends before its closing boundary.")
        for name in self._names:
            if name not in self._parts:
                raise PartProblem(f"The part '{name}' is missing.", pointer=f"/{name}")
        # The parser and what it calls hold each other, and would hold the body until somebody collects them.
        del self._parser
        return {name: memoryview(part) for name, part in self._parts.items()}

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name", b"").decode("utf-8", "replace")
        if name not in self._known:
            raise PartProblem(f"The parts are {' and '.join(self._known)}; there is one of another name.")
        if name in self._parts:
            if name not in self._several:
                raise PartProblem(f"The part '{name}' is there twice.", pointer=f"/{name}")
            if self._counts[name] + 1 == _MOST_OF_ONE:
                raise PartProblem(f"The part '{name}' may be there {_MOST_OF_ONE} times.", pointer=f"/{name}")
            self._counts[name] += 1
            name = f"{name}/{self._counts[name]}"
        self._current = self._parts[name] = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        # The one copy between socket and decoder: the parser's chunk is gone when it returns.
        self._current += memoryview(data)[start:end]
        if self._watch is not None:
            self._watch(self._current)

    def _on_end(self) -> None:
        self._ended = True
