"""The inference of one request: what it runs on, its steps side by side, and images of any size cut into tiles."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Engine, Model
from gateway.observability.metrics import Telemetry
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.vision.labels import class_counts, decide, decide_with_confidence
from gateway.vision.regions import Known
from gateway.vision.tiling import Grid, Stitcher, gather, plan

T = TypeVar("T")

Pixels = NDArray[np.uint8]
Images = Mapping[str, NDArray[Any]]
"""By input name of a model's card: uint8 (H, W, 3), RGB, and of some models rasters, (H, W), beside them."""

# While one is finished the next is already being inferred; more ahead would hold more memory and make nothing faster.
_AHEAD = 2


@dataclass(frozen=True)
class Run:
    """Engine, worker threads, metrics and clock of one request; evaluation has one of its own."""

    engine: Engine
    workers: Workers
    telemetry: Telemetry
    timeline: Timeline

    async def aside(self, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, computed in a worker thread and counted under the stage ``finish``.

        Raises:
            DeadlineExceeded: the request's time was up before the call.
        """
        return await self.workers.run(self.timeline, "finish", function, *arguments)


@dataclass(frozen=True)
class Segmenter(Run):
    """A model, and what it runs on."""

    model: Model = field(kw_only=True)

    @classmethod
    def of(cls, run: Run, model: Model) -> Segmenter:
        """Return `model` on `run`."""
        return Segmenter(run.engine, run.workers, run.telemetry, run.timeline, model=model)

    async def label_map(self, images: Images) -> Pixels:
        """Return the label map of images of one size.

        Args:
            images: what the model takes, of one size.

        Returns:
            uint8 (H, W), class values of the card.
        """
        grid = self._grid(images)
        if len(grid.rows) == len(grid.columns) == 1:
            tiles = await self._infer_row(images, grid, 0, "label_map")
            return tiles[0, : grid.height, : grid.width]
        stitcher = Stitcher(grid, len(self.model.card.classes))
        labels = np.empty((grid.height, grid.width), np.uint8)

        def finish(tiles: Pixels) -> None:
            for rows, columns, piece in stitcher.add_all(tiles):
                labels[rows, columns] = decide(piece, self.model.card.threshold)

        await self._finish_rows(images, grid, finish)
        return labels

    async def label_map_and_confidence(self, images: Images) -> tuple[Pixels, Pixels]:
        """Return the label map and how sure the model is of each of its values.

        Returns:
            uint8 (H, W) class values, and uint8 (H, W): 255 times the probability of that value.
        """
        return await self.decided(images, None)

    async def decided(self, images: Images, known: list[Known] | None) -> tuple[Pixels, Pixels]:
        """Return what `label_map_and_confidence` does of a model that labels pixels.

        Args:
            images: as of `label_map`.
            known: takes, in parts, the probabilities of all pixels above 0; None: nobody asks.
        """
        grid = self._grid(images)
        stitcher = Stitcher(grid, len(self.model.card.classes))
        labels, sureness = np.empty((2, grid.height, grid.width), np.uint8)

        def finish(tiles: Pixels) -> None:
            for rows, columns, piece in stitcher.add_all(tiles):
                place = rows, columns
                labels[place], sureness[place] = decide_with_confidence(piece, self.model.card.threshold)
                if known is not None:
                    known.append(Known.of(labels[place] > 0, piece, grid.width, rows.start, columns.start))

        await self._finish_rows(images, grid, finish)
        return labels, sureness

    async def probabilities(self, images: Images) -> Pixels:
        """Return the blended probabilities of every class, undecided.

        Args:
            images: as of `label_map`. The answer is held whole: of use for images of bounded size.

        Returns:
            uint8 (H, W, C), 255 is certainty.
        """
        grid = self._grid(images)
        stitcher = Stitcher(grid, len(self.model.card.classes))
        blended = np.empty((grid.height, grid.width, len(self.model.card.classes)), np.uint8)

        def finish(tiles: Pixels) -> None:
            for rows, columns, piece in stitcher.add_all(tiles):
                blended[rows, columns] = piece

        await self._finish_rows(images, grid, finish)
        return blended

    async def infer(self, batch: Mapping[str, NDArray[Any]], role: str) -> Pixels:
        """Return one output, uint8 (n, …), of a batch of n tiles, given by input name of the model's card."""
        (output,) = await self.outputs(batch, role)
        return output

    async def outputs(self, batch: Mapping[str, NDArray[Any]], *roles: str) -> tuple[NDArray[Any], ...]:
        """Return outputs in the order of `roles`, each (n, …), of a batch as in `infer`; others are not fetched."""
        names = [self.model.output(role) for role in roles]
        await self.timeline.breathe()
        with self.timeline.measure("infer"):
            answer = await self.engine.infer(self.model, batch, names, self.timeline)
        self.telemetry.tiles.labels(self.model.name).inc(len(answer[names[0]]))
        return tuple(answer[name] for name in names)

    async def count(self, label_map: Pixels) -> tuple[int, ...]:
        """Return the pixels of each class, and publish the classes' shares: drift shows there first."""
        classes = len(self.model.card.classes)
        counts = (await self.aside(class_counts, label_map, classes)).tolist()
        self.publish_shares(counts)
        return tuple(counts)

    def publish_shares(self, counts: Sequence[int]) -> None:
        """Publish the share of each class, of whose pixels there are `counts`."""
        total = sum(counts)
        for value, pixels in enumerate(counts):
            self.telemetry.class_share.labels(self.model.name, str(value)).observe(pixels / total)

    def _grid(self, images: Images) -> Grid:
        height, width = next(iter(images.values())).shape[:2]
        card = self.model.card
        return plan(height, width, card.tile, card.overlap)

    async def _finish_rows(self, images: Images, grid: Grid, finish: Callable[[Pixels], None]) -> None:
        """Infer the rows of tiles some ahead, and hand their probabilities to `finish` in order, off the loop."""
        rows = (partial(self._infer_row, images, grid, row, "probabilities") for row in range(len(grid.rows)))
        total = len(grid.rows) * len(grid.columns)

        async def finish_row(tiles: Pixels) -> None:
            await self.aside(finish, tiles)
            self.timeline.advance(self.timeline.done + len(tiles), total)

        self.timeline.advance(0, total)
        await in_order(rows, finish_row)

    async def _infer_row(self, images: Images, grid: Grid, row: int, role: str) -> Pixels:
        """Return one output of the tiles in `row`, shape (columns, tile, tile, …)."""
        shown = {spec.name: images[spec.name] for spec in self.model.card.inputs}
        if (grid.height, grid.width) == (grid.tile, grid.tile):
            # Nothing is copied, and no thread asked.
            return await self.infer(_gathered(shown, grid, row), role)
        return await self.infer(await self.aside(_gathered, shown, grid, row), role)


def _gathered(images: Images, grid: Grid, row: int) -> dict[str, NDArray[Any]]:
    return {name: gather(image, grid, row) for name, image in images.items()}


async def together(steps: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of `steps`, run side by side, in their order.

    However it ends, no step is left running.
    """
    tasks = [asyncio.create_task(step) for step in steps]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_order(
    steps: Iterable[Callable[[], Coroutine[Any, Any, T]]], finish: Callable[[T], Awaitable[object]]
) -> None:
    """Run `steps` some ahead of each other, and hand their results to `finish` one after the other, in order.

    However it ends, no step is left running.
    """
    upcoming = iter(steps)

    def begun() -> Iterable[asyncio.Task[T]]:
        return (asyncio.create_task(step()) for step in upcoming)

    ahead = deque(islice(begun(), _AHEAD))
    try:
        while ahead:
            # Named, a result would be held until the next one is there.
            finishing = finish(await ahead[0])
            ahead.popleft()
            ahead.extend(islice(begun(), 1))
            await finishing
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
