"""A zipped series inferred while it arrives: what is seen of a slice is kept by its header until the series is whole.

Nothing of it is an answer. When all of the series is there it is read as any other, which says whether it is one, and
what was seen ahead is taken for those of its slices that are the same files; all else is let go. So a series that turns
out to be none costs what was inferred of it, in turns that nobody else wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from starlette.requests import Request

from gateway.engines.base import Model
from gateway.errors import MaskgateError
from gateway.http.request_path import Parts, Services
from gateway.http.uploads import read_only_part
from gateway.inference.segmenter import Run, Segmenter, in_order
from gateway.media.medical.arriving import ArrivingSeries
from gateway.media.medical.dicom import DicomHeader
from gateway.media.medical.series_files import KnownHeaders
from gateway.media.medical.slices import HuSlice
from gateway.registry import Part
from gateway.scheduling.admission import Reservation
from gateway.scheduling.queue import Ticket
from gateway.settings import LimitSettings
from gateway.tasks.ct.pipeline import Shown, SliceFindings, SliceModel, show

T = TypeVar("T")

UInt8 = npt.NDArray[np.uint8]
Seen = dict[DicomHeader, tuple[SliceFindings, UInt8 | None]]
"""What a model saw in slices, and their label maps, uint8 (rows, columns), where these are kept; by their headers."""

_Batch = tuple[list[DicomHeader], Shown, SliceModel, UInt8]


class Ahead:
    """Reads the body of a request, and infers whole slices of it meanwhile, in batches, in turns that are free.

    A context around the request: however that ends, nothing is inferred any more.

    Args:
        services: of the app.
        model: of the task.
        series: looks for slices in what arrives.
        keep: whether label maps are kept, as what may be made of them is not known before the series is.
        working_bytes: held while slices are decoded.
        slice_bytes: held of each that was seen, beside its label map.

    Attributes:
        slices_held: bytes that are reserved for what was seen.
    """

    def __init__(
        self,
        services: Services,
        model: Model,
        series: ArrivingSeries,
        *,
        keep: bool,
        working_bytes: int,
        slice_bytes: int,
    ) -> None:
        """Have seen nothing."""
        self.slices_held = 0
        self._services = services
        self._model = model
        self._series = series
        self._keep = keep
        self._working_bytes = working_bytes
        self._holds_working = False
        self._slice_bytes = slice_bytes
        self._seen: Seen = {}
        self._data = bytearray()
        self._over = self._exhausted = False
        self._news = asyncio.Event()
        self._one_decodes, self._one_infers = asyncio.Lock(), asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Ahead:
        """Wait for `read`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave off, and return when nothing of it is on its way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def read(self, part: Part, request: Request, limits: LimitSettings, reservation: Reservation) -> Parts:
        """Return the body as `read_only_part` does, and begin with its slices before.

        Raises:
            MaskgateError: as `read_only_part`.
        """
        self._task = asyncio.create_task(self._work(reservation))
        return await read_only_part(part, request, limits, reservation, self._arrived)

    @property
    def known(self) -> KnownHeaders:
        """Headers of the files that were read, for who reads the series."""
        return self._series.known

    def hold_working(self, reservation: Reservation) -> None:
        """Reserve what decoding takes, once, whoever decodes first.

        Raises:
            Overloaded: the process holds too many bytes already.
        """
        if not self._holds_working:
            reservation.grow(self._working_bytes)
            self._holds_working = True

    def go_on(self) -> None:
        """Go on, where there was no turn: the request has its own."""
        self._news.set()

    async def end(self) -> Seen:
        """Begin with no more slices, and return what was seen, when all that was begun is done."""
        self._over = True
        self._news.set()
        if self._task is not None:
            await self._task
        self._data = bytearray()
        return self._seen

    def _arrived(self, data: bytearray) -> None:
        self._data = data
        self._news.set()

    async def _work(self, reservation: Reservation) -> None:
        services, timeline = self._services, reservation.ticket.timeline
        run = Run(services.engine, services.workers, services.telemetry, timeline)
        segmenter = Segmenter.of(run, self._model)
        # What is wrong is told by who reads all of the series.
        with suppress(MaskgateError):
            await in_order(self._steps(segmenter, reservation), partial(self._keep_seen, segmenter, reservation))

    def _steps(
        self, segmenter: Segmenter, reservation: Reservation
    ) -> Iterator[partial[Coroutine[Any, Any, _Batch | None]]]:
        while not (self._over or self._exhausted):
            yield partial(self._infer, segmenter, reservation)

    async def _infer(self, segmenter: Segmenter, reservation: Reservation) -> _Batch | None:
        """Return the next slices after the model; None: no more are begun with, or the next files are none."""
        card, ticket = segmenter.model.card, reservation.ticket
        async with self._one_decodes:
            if not await self._ready(card.max_batch_size):
                return None
            self.hold_working(reservation)
            taking = self._take, card.max_batch_size, card.tile
            taken = await self._in_turn(ticket, lambda: segmenter.workers.run(segmenter.timeline, "decode", *taking))
        if taken is None or not taken[0]:
            return None
        headers, shown = taken
        model = SliceModel(segmenter, headers[0].layout.rows, headers[0].layout.columns)
        async with self._one_infers:
            output = await self._in_turn(ticket, lambda: model.infer(shown))
        return None if output is None else (headers, shown, model, output)

    async def _in_turn(self, ticket: Ticket, step: Callable[[], Awaitable[T]]) -> T | None:
        """Return what `step` returns, when there was a turn for it; None: nothing more is begun with."""
        while not self._over:
            with ticket.spare_turn() as given:
                if given:
                    return await step()
            await self._next_news()
        return None

    async def _ready(self, count: int) -> bool:
        """Return whether so many files are there whole, when they are; not: nothing more is begun with."""
        while not self._over:
            if self._series.ready(self._data, count):
                return True
            if self._series.closed:
                self._exhausted = True
                return False
            await self._next_news()
        return False

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _take(self, count: int, size: int) -> tuple[list[DicomHeader], Shown]:
        """Return the slices among the next `count` files on a grid of `size`, and their headers."""
        headers: list[DicomHeader] = []

        def each() -> Iterator[HuSlice]:
            for header, one in self._series.slices(self._data, count):
                headers.append(header)
                yield one

        return headers, show(each(), size)

    async def _keep_seen(self, segmenter: Segmenter, reservation: Reservation, batch: _Batch | None) -> None:
        if batch is None:
            return
        headers, shown, model, output = batch
        amount = len(headers) * (self._slice_bytes + self._keep * model.rows * model.columns)
        reservation.grow(amount)
        self.slices_held += amount
        found = await segmenter.aside(lambda: list(model.labelled(shown, output)))
        for header, (findings, label_map) in zip(headers, found, strict=True):
            self._seen[header] = findings, label_map if self._keep else None
        # Of how many, is not known before all are there.
        segmenter.timeline.done = len(self._seen)
