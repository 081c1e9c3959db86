"""Building damage in whole scenes: read, inferred, decided and handed on from top to bottom, band by band.

Memory follows the width of a scene times the height of a tile, not its area: neither image nor probabilities are ever
held whole. Where the ground is not seen in both images nothing is classified; tiles that show none are not inferred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.engines.base import Model
from gateway.inference.segmenter import Segmenter, in_order
from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.ground_rasters import GroundRaster
from gateway.media.geo.rasters import Raster
from gateway.tasks.damage.fused import FusedSegmenter
from gateway.tasks.damage.pipeline import inputs_of, rasters_of
from gateway.tasks.damage.rasters import Ground
from gateway.tasks.damage.scene_bands import Band, Buildings, GradedFootprints, Sink, Tally
from gateway.tasks.damage.scene_grading import Grading
from gateway.tasks.damage.scene_reader import SceneReader, Window
from gateway.vision.labels import both_views, decide_with_confidence
from gateway.vision.regions import Region
from gateway.vision.tiling import Grid, Stitcher, gather_stacked, plan

UInt8 = npt.NDArray[np.uint8]
_Tiles = tuple[list[int], UInt8]
_Inferring = Callable[[], Coroutine[Any, Any, _Tiles]]

# Tiles inferred at once, and such batches on their way, which lanes and Triton's batcher share and join as they like;
# more would only hold more of what a network computes in between.
_BATCH, _BATCHES = 4, 2
# Rows decided at once: what that takes per pixel, several times its probabilities, stays small.
_ROWS = 64


@dataclass(frozen=True)
class SceneMap:
    """What the model saw in a pair of scenes, in numbers.

    Attributes:
        model: which.
        counts: pixels per class value, of those where the ground is seen.
        areas_m2: the same in m² on the ellipsoid; None without geography.
        unseen: pixels that one of the files does not show, by nodata or black borders.
        featureless: pixels left out because one image is blank there, or looks as it does under clouds.
        buildings: in reading order.
        cut: regions that were cut because they are taller than any building.
        graded: footprints that were given, in the place of `buildings`; None: none were.
        invented: float64 (n,), of each building, found or given, the share of its ground that a model made up which
            took clouds off, 0–1; None: none did.
        known: raster that was given → of how many pixels it says something.
    """

    model: Model
    counts: tuple[int, ...]
    areas_m2: tuple[float, ...] | None
    unseen: int
    featureless: int
    buildings: tuple[Region, ...]
    cut: int
    graded: GradedFootprints | None = None
    invented: npt.NDArray[np.float64] | None = None
    known: Mapping[str, int] = field(default_factory=dict)


async def map_scene(
    segmenter: Segmenter,
    pre: Raster,
    post: Raster,
    sinks: Sequence[Sink] = (),
    *,
    between: Sequence[Raster] = (),
    rasters: Mapping[str, GroundRaster] | None = None,
    judged: bool = True,
    twice: bool = False,
) -> SceneMap:
    """Return the damage in a pair of scenes, its label map handed to `sinks` on the way.

    Rows of tiles are read, inferred and finished side by side, a few at a time. However it ends, no thread is left at
    work on what the caller holds.

    Args:
        segmenter: a model of the task and its request, which is told of each batch of tiles that is done. Of a fused
            one the finder maps, and each building is graded as soon as it is known whole.
        pre: before the disaster; its grid is the answer's.
        post: after it, on that grid.
        sinks: what takes the label map.
        between: of the dates between, on that grid, the oldest first, as many as the model reads.
        rasters: what is known of the ground, on that grid, of those that the model takes.
        judged: whether ground counts as unseen where an image shows nothing; see `SceneReader`.
        twice: whether models are asked of everything once more as a mirror shows it; means count.

    Raises:
        MaskgateError: as `Raster.read` and `Engine.infer`.
    """
    info = pre.info
    finder, grading = segmenter, None
    if isinstance(segmenter, FusedSegmenter):
        finder, grading = segmenter.finder, Grading(segmenter, post, twice=twice)
    card = finder.model.card
    grid = plan(info.height, info.width, card.tile, card.overlap)
    tally, buildings = Tally(len(segmenter.model.card.classes), info.grid), Buildings()
    ground = Ground(rasters_of(segmenter.model), rasters)
    rows = TileRows(finder, grid, SceneReader(pre, post, grid, between, ground=ground, judged=judged), twice=twice)
    stitcher = Stitcher(grid, rows.values)
    finisher = _Finisher(stitcher, len(card.classes), card.threshold, (tally, buildings, *sinks))
    run = partial(segmenter.workers.run_to_end, segmenter.timeline, "finish")
    segmenter.timeline.advance(0, grid.tiles)

    async def finish(row: TileRow) -> None:
        if grading is None:
            await run(finisher.add, row)
        else:
            await run(finisher.hand_on, await grading.add(await run(finisher.band, row)))

    await in_order((partial(rows.infer, row) for row in range(len(grid.rows))), finish)
    if grading is not None:
        await run(finisher.hand_on, await grading.end())
    found = await segmenter.aside(buildings.all)
    if grading is not None:
        found = grading.told(found)
    if any(tally.counts):
        segmenter.publish_shares(tally.counts)
    return SceneMap(
        model=segmenter.model,
        counts=tally.counts,
        areas_m2=tally.areas_m2,
        unseen=info.height * info.width - sum(tally.counts) - rows.reader.featureless,
        featureless=rows.reader.featureless,
        buildings=found,
        cut=buildings.stream.cut + (0 if grading is None else grading.cut),
        known=ground.known,
    )


@dataclass(frozen=True)
class TileRow:
    """A row of tiles after the model: their probabilities, uint8 (tile, tile, values) each."""

    window: Window
    probabilities: Sequence[UInt8]


class TileRows:
    """Reads rows of tiles and infers them, those tiles alone that show some ground.

    Args:
        segmenter: a model and its request.
        grid: of the tiles.
        reader: of both images on that grid.
        twice: whether tiles are inferred once more as a mirror shows them; see `both_views`.

    Attributes:
        values: per pixel: the classes, and where tiles are seen twice one more.
    """

    def __init__(self, segmenter: Segmenter, grid: Grid, reader: SceneReader, *, twice: bool = False) -> None:
        """Infer nothing yet."""
        self._twice = twice
        self.values = len(segmenter.model.card.classes) + twice
        self.reader = reader
        self._segmenter = segmenter
        self._grid = grid
        self._reading = asyncio.Lock()
        self._begun = [asyncio.Event() for _ in grid.rows]
        self._room = asyncio.Semaphore(_BATCHES)

    async def infer(self, row: int) -> TileRow:
        """Return the row with the number `row`; they are to be begun in order.

        It is read while those above are inferred, and begun with the last tiles of these: rows that were inferred side
        by side would all hold their probabilities until they end together.
        """
        segmenter, grid = self._segmenter, self._grid
        async with self._reading:
            window = await segmenter.workers.run_to_end(segmenter.timeline, "decode", self.reader.take)
        shown = [number for number, x in enumerate(grid.columns) if window.seen[:, x : x + grid.tile].any()]
        unseen = [number for number in range(len(grid.columns)) if number not in set(shown)]
        # Replaced where something is shown. Tiles stay in the batches that they come in: one copy less of the most that
        # is held.
        probabilities = [np.zeros((grid.tile, grid.tile, self.values), np.uint8)] * len(grid.columns)
        self._advance(len(unseen))

        async def keep(inferred: _Tiles) -> None:
            numbers, tiles = inferred
            for number, tile in zip(numbers, tiles, strict=True):
                probabilities[number] = tile
            self._advance(len(numbers))

        if row:
            await self._begun[row - 1].wait()
        await in_order(self._batches(row, window, shown), keep)
        return TileRow(window, probabilities)

    def _batches(self, row: int, window: Window, shown: list[int]) -> Iterator[_Inferring]:
        """Yield what infers the tiles that are shown; with the last of it the next row may begin."""
        size = min(_BATCH, self._segmenter.model.card.max_batch_size)
        for start in range(0, len(shown), size):
            # Not when the last is asked for more, which is when one before it has ended: a lane would idle until then.
            if start + size >= len(shown):
                self._begun[row].set()
            yield partial(self._infer, window, shown[start : start + size])
        self._begun[row].set()

    async def _infer(self, window: Window, numbers: list[int]) -> _Tiles:
        """Return the probabilities of the tiles in the columns `numbers`, and these."""
        segmenter, grid = self._segmenter, self._grid
        columns = tuple(grid.columns[number] for number in numbers)
        part = replace(grid, height=window.stop - window.top, rows=(0,), columns=columns)
        strips = [
            {**inputs_of(segmenter.model, strip.pre, strip.post, strip.between), **strip.rasters}
            for strip in window.strips
        ]
        named = {spec.name: [strip[spec.name] for strip in strips] for spec in segmenter.model.card.inputs}
        async with self._room:
            batch = await segmenter.aside(_gathered, named, part)
            first = await segmenter.infer(batch, "probabilities")
            if not self._twice:
                return numbers, first
            mirrored = {name: await segmenter.aside(_mirrored, tiles) for name, tiles in batch.items()}
            second = await segmenter.infer(mirrored, "probabilities")
            return numbers, await segmenter.aside(both_views, first, second[:, :, ::-1])

    def _advance(self, tiles: int) -> None:
        timeline = self._segmenter.timeline
        timeline.advance(timeline.done + tiles, self._grid.tiles)


class _Finisher:
    """Makes bands of rows of tiles, and hands them to the sinks."""

    def __init__(self, stitcher: Stitcher, classes: int, threshold: float | None, sinks: Sequence[Sink]) -> None:
        self._stitcher = stitcher
        self._classes = classes
        self._threshold = threshold
        self._sinks = sinks

    def add(self, row: TileRow) -> None:
        """Take the next row, and hand on what it makes final."""
        self.hand_on([self.band(row)])

    def hand_on(self, bands: Sequence[Band]) -> None:
        """Hand bands to the sinks, one after the other."""
        for band in bands:
            for sink in self._sinks:
                sink.write(band)

    def band(self, row: TileRow) -> Band:
        """Take the next row, and return what it makes final."""
        bands = self._stitcher.add(row.probabilities)
        top, rows = bands[0][0], sum(len(band) for _, band in bands)
        labels, sureness = np.empty((2, rows, bands[0][1].shape[1]), np.uint8)
        known = []
        for first, band in bands:
            for start in range(0, len(band), _ROWS):
                part = band[start : start + _ROWS, :, : self._classes]
                place = slice(first - top + start, first - top + start + len(part))
                labels[place], sureness[place] = decide_with_confidence(part, self._threshold)
                shown = row.window.part(top + place.start, top + place.stop).seen
                # By number and not by mask: a quarter of the time for pixels of a few bytes.
                buildings = np.flatnonzero((labels[place] > 0) & shown)
                known.append(band[start : start + _ROWS].reshape(-1, band.shape[2]).take(buildings, axis=0))
        window = row.window.part(top, top + rows)
        if not window.seen.all():
            labels[~window.seen] = NOT_OBSERVED
            sureness[~window.seen] = 0
        return Band(window, labels, sureness, np.concatenate(known))


def _gathered(images: Mapping[str, Sequence[UInt8]], part: Grid) -> dict[str, UInt8]:
    return {name: gather_stacked(strips, part) for name, strips in images.items()}


def _mirrored(tiles: UInt8) -> UInt8:
    return np.ascontiguousarray(tiles[:, :, ::-1])
