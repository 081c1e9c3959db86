"""Tiled inference: images of any size through a model of one tile size."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Engine, Model
from gateway.ops.telemetry import Telemetry
from gateway.ops.timeline import Timeline
from gateway.ops.workers import Workers
from gateway.vision.labels import class_counts, confidence, decide
from gateway.vision.tiling import Grid, Stitcher, gather, plan

Pixels = NDArray[np.uint8]

# While one row of tiles is stitched the next is already being inferred; more rows ahead
# would hold more memory and make nothing faster.
_ROWS_AHEAD = 2


@dataclass(frozen=True)
class Segmenter:
    """A model, what runs it, and the request it runs for."""

    model: Model
    engine: Engine
    workers: Workers
    telemetry: Telemetry
    timeline: Timeline

    async def label_map(self, images: Mapping[str, Pixels]) -> Pixels:
        """Return the label map of images of one size.

        Args:
            images: per input name of the model's card, uint8 (H, W, 3), RGB.

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
            for top, band in stitcher.add(tiles):
                labels[top : top + len(band)] = decide(band, self.model.card.threshold)

        await self._finish_rows(images, grid, finish)
        return labels

    async def label_map_and_confidence(self, images: Mapping[str, Pixels]) -> tuple[Pixels, Pixels]:
        """Return the label map and how sure the model is of each of its values.

        Returns:
            uint8 (H, W) class values, and uint8 (H, W): 255 times the probability of that value.
        """
        grid = self._grid(images)
        stitcher = Stitcher(grid, len(self.model.card.classes))
        labels, sureness = np.empty((2, grid.height, grid.width), np.uint8)

        def finish(tiles: Pixels) -> None:
            for top, band in stitcher.add(tiles):
                rows = slice(top, top + len(band))
                labels[rows] = decide(band, self.model.card.threshold)
                sureness[rows] = confidence(band, labels[rows])

        await self._finish_rows(images, grid, finish)
        return labels, sureness

    async def count(self, label_map: Pixels) -> tuple[int, ...]:
        """Return the pixels of each class, and publish the classes' shares: drift shows there first."""
        classes = len(self.model.card.classes)
        counts = (await self.workers.run(self.timeline, "finish", class_counts, label_map, classes)).tolist()
        for value, pixels in enumerate(counts):
            self.telemetry.class_share.labels(self.model.name, str(value)).observe(pixels / label_map.size)
        return tuple(counts)

    def _grid(self, images: Mapping[str, Pixels]) -> Grid:
        height, width = next(iter(images.values())).shape[:2]
        card = self.model.card
        return plan(height, width, card.tile, card.overlap)

    async def _finish_rows(self, images: Mapping[str, Pixels], grid: Grid, finish: Callable[[Pixels], None]) -> None:
        """Infer the rows of tiles some ahead, and hand their probabilities to `finish` in order, off the loop."""
        rows = iter(range(len(grid.rows)))

        def infer(row: int) -> asyncio.Task[Pixels]:
            return asyncio.create_task(self._infer_row(images, grid, row, "probabilities"))

        ahead = deque(infer(row) for row in islice(rows, _ROWS_AHEAD))
        try:
            while ahead:
                tiles = await ahead[0]
                ahead.popleft()
                ahead.extend(infer(row) for row in islice(rows, 1))
                await self.workers.run(self.timeline, "finish", finish, tiles)
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _infer_row(self, images: Mapping[str, Pixels], grid: Grid, row: int, role: str) -> Pixels:
        """Return one output of the tiles in `row`, shape (columns, tile, tile, …)."""
        names = [spec.name for spec in self.model.card.inputs]
        batches = await asyncio.gather(
            *(self.workers.run(self.timeline, "finish", gather, images[name], grid, row) for name in names)
        )
        output = self.model.output(role)
        with self.timeline.measure("infer"):
            answer = await self.engine.infer(
                self.model, dict(zip(names, batches, strict=True)), [output], self.timeline
            )
        self.telemetry.tiles.labels(self.model.name).inc(len(grid.columns))
        return answer[output]
