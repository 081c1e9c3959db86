"""Building damage in whole scenes: read, inferred, decided and handed on from top to bottom, band by band.

Memory follows the width of a scene times the height of a tile, not its area: neither image nor probabilities are ever
held whole. Where the ground is not seen in both images nothing is classified; tiles that show none are not inferred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gateway.engines.base import Model
from gateway.inference.segmenter import Segmenter, in_order, together
from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.ground_rasters import GroundRaster
from gateway.media.geo.rasters import Raster
from gateway.tasks.damage.fused import FusedSegmenter
from gateway.tasks.damage.pipeline import inputs_of, rasters_of
from gateway.tasks.damage.rasters import Ground
from gateway.tasks.damage.scene_bands import Band, Buildings, GradedFootprints, Sink, Tally
from gateway.tasks.damage.scene_grading import Grading, Voting
from gateway.tasks.damage.scene_reader import SceneReader, Window
from gateway.vision.labels import both_views, decide_with_confidence
from gateway.vision.regions import Known, Region
from gateway.vision.tiling import Grid, Stitcher, gather_stacked, plan

UInt8 = npt.NDArray[np.uint8]
_Tiles = tuple[list[int], UInt8]
_Inferring = Callable[[], Coroutine[Any, Any, _Tiles]]

# Tiles inferred at once, and such batches on their way, which lanes and Triton's batcher share and join as they like;
# more would only hold more of what a network computes in between.
_BATCH, _BATCHES = 4, 2


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
    pictured: bool = False,
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
        pictured: whether sinks look at the post image.
        twice: whether models are asked of everything once more as a mirror shows it; means count.

    Raises:
        MaskgateError: as `Raster.read` and `Engine.infer`.
    """
    info = pre.info
    finder, grading = segmenter, None
    stage: Grading | Voting | None = None
    if isinstance(segmenter, FusedSegmenter):
        finder, stage = segmenter.finder, (grading := Grading(segmenter, post, twice=twice))
    elif vote := segmenter.model.card.vote:
        stage = Voting(segmenter, info.width, vote)
    card = finder.model.card
    grid = plan(info.height, info.width, card.tile, card.overlap)
    tally, buildings = Tally(len(segmenter.model.card.classes), info.grid), Buildings()
    takers: tuple[Sink, ...] = (tally, buildings, *sinks)
    ground = Ground(rasters_of(segmenter.model), rasters)
    reader = SceneReader(pre, post, grid, between, ground=ground, judged=judged)
    decided = partial(_Decided, classes=len(card.classes), threshold=card.threshold, pictured=pictured)
    rows = TileRows(finder, grid, reader, decided, twice=twice)
    run = partial(segmenter.workers.run_to_end, segmenter.timeline, "finish")
    segmenter.timeline.advance(0, grid.tiles)

    async def hand_on(bands: Sequence[Band]) -> None:
        # Side by side, since behind the last row of tiles nothing else is left to do.
        for band in bands:
            await together(run(sink.write, band) for sink in takers)

    async def finish(row: _Decided) -> None:
        band = await run(row.band)
        await hand_on([band] if stage is None else await stage.add(band))

    await in_order((partial(rows.infer, row) for row in range(len(grid.rows))), finish)
    if stage is not None:
        await hand_on(await stage.end())
    found = await segmenter.aside(buildings.all)
    if grading is not None:
        found = grading.told(found)
    if any(tally.counts):
        segmenter.publish_shares(tally.counts)
    return SceneMap(
        model=segmenter.model,
        counts=tally.counts,
        areas_m2=tally.areas_m2,
        unseen=info.height * info.width - sum(tally.counts) - reader.featureless,
        featureless=reader.featureless,
        buildings=found,
        cut=buildings.stream.cut + (0 if grading is None else grading.cut),
        known=ground.known,
    )


class Final(Protocol):
    """Takes, in threads, what a row of tiles makes final of the scene."""

    def add(self, columns: slice, values: UInt8) -> None:
        """Take what a model says of some columns, uint8 (rows, columns, values); they follow each other."""


F = TypeVar("F", bound=Final)


class TileRows(Generic[F]):
    """Reads rows of tiles, infers them, those tiles alone that show some ground, and blends them as they come.

    Args:
        segmenter: a model and its request.
        grid: of the tiles.
        reader: of both images on that grid.
        final: of the rows that a row of tiles makes final, returns what takes them.
        twice: whether tiles are inferred once more as a mirror shows them; see `both_views`. Per pixel there is one
            value more then than there are classes.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        grid: Grid,
        reader: SceneReader,
        final: Callable[[Window], F],
        *,
        twice: bool = False,
    ) -> None:
        """Infer nothing yet."""
        values = len(segmenter.model.card.classes) + twice
        self._segmenter, self._grid, self._reader, self._final = segmenter, grid, reader, final
        self._twice = twice
        self._stitcher = Stitcher(grid, values)
        # What is said of tiles that show nothing.
        self._blank = np.zeros((grid.tile, grid.tile, values), np.uint8)
        self._reading = asyncio.Lock()
        self._begun, self._blended = ([asyncio.Event() for _ in grid.rows] for _ in range(2))
        self._room = asyncio.Semaphore(_BATCHES)

    async def infer(self, row: int) -> F:
        """Return what took the row with the number `row`; they are to be begun in order.

        It is read while the one above is inferred, and begun with the last tiles of that.
        """
        segmenter, grid = self._segmenter, self._grid
        async with self._reading:
            window = await self._reader.take(partial(segmenter.workers.run_to_end, segmenter.timeline, "decode"))
        shown = [number for number, x in enumerate(grid.columns) if window.shows(slice(x, x + grid.tile))]
        self._advance(len(grid.columns) - len(shown))
        if row:
            await self._begun[row - 1].wait()
        ready = window.part(window.top, grid.below(row))
        final: F | None = None
        blended = 0

        async def blend(stop: int, tiles: Mapping[int, UInt8]) -> F:
            nonlocal blended, final
            if row and not blended:
                await self._blended[row - 1].wait()
            final = await segmenter.aside(self._blend, final, ready, range(blended, stop), tiles)
            blended = stop
            return final

        async def keep(inferred: _Tiles) -> None:
            numbers, tiles = inferred
            await blend(numbers[-1] + 1, dict(zip(numbers, tiles, strict=True)))
            self._advance(len(numbers))

        await in_order(self._batches(row, window, shown), keep)
        whole = final if final is not None and blended == len(grid.columns) else await blend(len(grid.columns), {})
        self._blended[row].set()
        return whole

    def _blend(self, final: F | None, ready: Window, columns: range, tiles: Mapping[int, UInt8]) -> F:
        """Blend the tiles of some columns, of which others than `tiles` show nothing, and return what took them.

        The first of a row make that: before a tile of it is inferred nothing else is waited for.
        """
        taker = self._final(ready) if final is None else final
        for number in columns:
            _, beside, values = self._stitcher.add(tiles.get(number, self._blank))
            taker.add(beside, values)
        return taker

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


class _Decided:
    """The answer about rows that a row of tiles makes final, decided column by column; see `Final`."""

    def __init__(self, window: Window, classes: int, threshold: float | None, *, pictured: bool) -> None:
        self._top, self._seen = window.top, window.seen
        self._post = window.post if pictured else None
        self._classes, self._threshold = classes, threshold
        self._labels, self._sureness = np.empty((2, *self._seen.shape), np.uint8)
        self._known: list[Known] = []

    def add(self, columns: slice, values: UInt8) -> None:
        labels, sureness = decide_with_confidence(values[..., : self._classes], self._threshold)
        seen = self._seen[:, columns]
        self._known.append(Known.of((labels > 0) & seen, values, self._seen.shape[1], column=columns.start))
        if not seen.all():
            labels[~seen] = NOT_OBSERVED
            sureness[~seen] = 0
        self._labels[:, columns], self._sureness[:, columns] = labels, sureness

    def band(self) -> Band:
        """Return the rows when all pieces of them were added."""
        return Band(self._top, self._labels, self._sureness, self._seen, self._known, self._post)


def _gathered(images: Mapping[str, Sequence[UInt8]], part: Grid) -> dict[str, UInt8]:
    return {name: gather_stacked(strips, part) for name, strips in images.items()}


def _mirrored(tiles: UInt8) -> UInt8:
    return np.ascontiguousarray(tiles[:, :, ::-1])
