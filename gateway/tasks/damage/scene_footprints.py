"""Buildings whose footprints are known, graded in a pair of scenes and not looked for.

A grader of single buildings is asked about a crop around each. Of any other model the probabilities within each
footprint are averaged, where the ground is seen, and of the classes that are buildings the likeliest counts. Both
images are read once, from top to bottom; the label map is painted afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from gateway.inference.segmenter import Segmenter, in_order
from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.footprints import Footprints
from gateway.media.geo.ground_rasters import GroundRaster
from gateway.media.geo.rasters import Raster
from gateway.tasks.damage.fused import GradingSegmenter, Scores, grade_buildings, grade_twice
from gateway.tasks.damage.pipeline import rasters_of
from gateway.tasks.damage.rasters import Ground
from gateway.tasks.damage.scene_bands import LEAST_OBSERVED, Band, GradedFootprints, Sink, Tally
from gateway.tasks.damage.scene_grading import read_crops
from gateway.tasks.damage.scene_pipeline import SceneMap, TileRows
from gateway.tasks.damage.scene_reader import SceneReader, Window
from gateway.vision.spans import Spans
from gateway.vision.tiling import Grid, plan

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Rows that are counted, and painted, at once.
_ROWS = 64
# Read at once where no tiles are inferred.
_STRIP = 512


async def grade_footprints(
    segmenter: Segmenter,
    pre: Raster,
    post: Raster,
    footprints: Footprints,
    sinks: Sequence[Sink] = (),
    *,
    between: Sequence[Raster] = (),
    rasters: Mapping[str, GroundRaster] | None = None,
    judged: bool = True,
    pictured: bool = False,
    twice: bool = False,
) -> SceneMap:
    """Return the damage of known buildings in a pair of scenes; other arguments and errors as of `map_scene`.

    Args:
        segmenter: a grader by itself, or a model of two classes of buildings at least.
        pre: before the disaster; its grid is the answer's.
        post: after it, on that grid.
        footprints: on that grid too.
        sinks: what takes the label map, in which footprints are painted, smaller ones over larger ones.
        between: as of `map_scene`.
        rasters: as of `map_scene`.
        judged: as of `map_scene`.
        twice: as of `map_scene`.
        pictured: whether sinks look at the post image, which is then read once more.
    """
    info, classes = pre.info, len(segmenter.model.card.classes)
    run = partial(segmenter.workers.run_to_end, segmenter.timeline, "finish")
    alone = isinstance(segmenter, GradingSegmenter)
    card = segmenter.model.card
    grid = plan(info.height, info.width, _STRIP, 0) if alone else plan(info.height, info.width, card.tile, card.overlap)
    ground = Ground(rasters_of(segmenter.model), rasters)
    reader = SceneReader(pre, post, grid, between, ground=ground, judged=judged)
    measured = _Measured(footprints, 0 if alone else classes + twice)
    apart = None
    if isinstance(segmenter, GradingSegmenter):
        await _read(segmenter, reader, grid, measured)
        scores, apart = await _graded(segmenter, footprints, measured, post, twice=twice)
    else:
        await _inferred(segmenter, reader, grid, measured, twice=twice)
        scores = measured.scores(classes)
        apart = measured.apart() if twice else None
    graded = await segmenter.aside(_decided, measured, scores, apart)
    tally = Tally(classes, info.grid)
    painter = _Painter(graded, measured, post if pictured else None)
    for top in range(0, info.height, _STRIP):
        await run(painter.paint, top, min(top + _STRIP, info.height), (tally, *sinks))
    if any(tally.counts):
        segmenter.publish_shares(tally.counts)
    return SceneMap(
        model=segmenter.model,
        counts=tally.counts,
        areas_m2=tally.areas_m2,
        unseen=info.height * info.width - sum(tally.counts) - reader.featureless,
        featureless=reader.featureless,
        buildings=(),
        cut=0,
        graded=graded,
        known=ground.known,
    )


class _Measured:
    """What was seen in each footprint.

    Args:
        footprints: of the scene.
        values: of the model per pixel: its classes, and where tiles are seen twice one more; 0: there are none.

    Attributes:
        footprints: of the scene.
        inside: int64 (n,), pixels of the scene in each.
        seen: int64 (n,), those of them that were seen.
    """

    def __init__(self, footprints: Footprints, values: int) -> None:
        count = len(footprints.sent)
        self.footprints = footprints
        self.inside, self.seen = np.zeros((2, count), np.int64)
        self._sums = np.zeros((count, values), np.int64)
        self._shown = np.zeros((footprints.height, -(-footprints.width // 8)), np.uint8)

    def add(self, first: int, seen: Mask, probabilities: UInt8 | None = None) -> None:
        """Count rows that follow, of the scene from `first` on, and sum what a model says of them.

        Args:
            first: row of the scene.
            seen: bool (rows, width).
            probabilities: uint8 (rows, width, classes).
        """
        end = first + len(seen)
        self._shown[first:end] = np.packbits(seen, axis=1)
        for top in range(first, end, _ROWS):
            stop = min(top + _ROWS, end)
            shown = seen[top - first : stop - first]
            for spans in self.footprints.outlines.spans(top, stop):
                np.add.at(self.inside, spans.polygon, spans.stop - spans.start)
                np.add.at(self.seen, spans.polygon, _summed(spans, top, shown))
                for value in range(self._sums.shape[1]):
                    part = probabilities[top - first : stop - first, :, value]  # type: ignore[index]
                    np.add.at(self._sums[:, value], spans.polygon, _summed(spans, top, part * shown))

    def shown(self, top: int, stop: int) -> Mask:
        """Return where rows that were added are seen, bool (rows, width)."""
        return np.unpackbits(self._shown[top:stop], axis=1, count=self.footprints.width).astype(np.bool_)

    def observed(self) -> Float64:
        """Return the share of each footprint that was seen, float64 (n,)."""
        return self.seen / np.maximum(self.inside, 1) * self.footprints.shares_within

    def apart(self) -> Scores:
        """Return how far both views are apart on average, the last of the values, float32 (n,)."""
        return (self._sums[:, -1] / np.maximum(self.seen, 1) / 255).astype(np.float32)

    def scores(self, classes: int) -> Scores:
        """Return the mean probability of each class above background, of all of these together."""
        buildings = self._sums[:, 1:classes].astype(np.float32)
        total = buildings.sum(axis=1, keepdims=True)
        even = np.float32(1 / buildings.shape[1])
        # Where the model is certain that there is no building it has no preference.
        shares = np.full_like(buildings, even)
        np.divide(buildings, total, out=shares, where=total > 0)
        return shares


class _Painter:
    """Paints grades into the label map."""

    def __init__(self, graded: GradedFootprints, measured: _Measured, post: Raster | None) -> None:
        self._measured, self._post = measured, post
        self._values = graded.values
        self._sureness = np.rint(255 * graded.scores.max(axis=1, initial=0)).astype(np.uint8)
        # The smallest last, which is what remains to be seen.
        self._rank = np.argsort(np.argsort(-measured.inside, kind="stable"), kind="stable")

    def paint(self, top: int, stop: int, sinks: Sequence[Sink]) -> None:
        """Paint some rows, and hand them to the sinks."""
        footprints, seen = self._measured.footprints, self._measured.shown(top, stop)
        labels, sureness = np.zeros((2, *seen.shape), np.uint8)
        for spans in footprints.outlines.spans(top, stop):
            kept = np.flatnonzero(self._values[spans.polygon])
            kept = kept[np.argsort(self._rank[spans.polygon[kept]], kind="stable")]
            ordered = Spans(spans.polygon[kept], spans.row[kept], spans.start[kept], spans.stop[kept])
            for polygon, place in ordered.pixels(footprints.width, top):
                labels.reshape(-1)[place] = self._values[polygon]
                sureness.reshape(-1)[place] = self._sureness[polygon]
        labels[~seen], sureness[~seen] = NOT_OBSERVED, 0
        columns = slice(0, footprints.width)
        pixels = None if self._post is None else self._post.read(slice(top, stop), columns)[0]
        for sink in sinks:
            sink.write(Band(top, labels, sureness, seen, post=pixels))


async def _read(segmenter: GradingSegmenter, reader: SceneReader, grid: Grid, measured: _Measured) -> None:
    """Read the scene, and count what is seen of it."""
    done = 0
    segmenter.timeline.advance(0, len(grid.rows))
    for row in range(len(grid.rows)):
        window = await reader.take(partial(segmenter.workers.run_to_end, segmenter.timeline, "decode"))
        # The last row of tiles reaches back over the one before.
        own = window.part(max(window.top, done), window.stop)
        done = window.stop
        await segmenter.workers.run_to_end(segmenter.timeline, "finish", measured.add, own.top, own.seen)
        segmenter.timeline.advance(row + 1, len(grid.rows))


class _Probabilities:
    """What a model says of the rows that a row of tiles makes final; see `Final`."""

    def __init__(self, window: Window, values: int) -> None:
        self.top, self.seen = window.top, window.seen
        self.values = np.empty((*self.seen.shape, values), np.uint8)

    def add(self, columns: slice, values: UInt8) -> None:
        self.values[:, columns] = values


async def _inferred(segmenter: Segmenter, reader: SceneReader, grid: Grid, measured: _Measured, *, twice: bool) -> None:
    """Infer the scene, and sum what the model says of each footprint."""
    values = len(segmenter.model.card.classes) + twice
    rows = TileRows(segmenter, grid, reader, partial(_Probabilities, values=values), twice=twice)
    segmenter.timeline.advance(0, grid.tiles)

    async def finish(row: _Probabilities) -> None:
        run = segmenter.workers.run_to_end
        await run(segmenter.timeline, "finish", measured.add, row.top, row.seen, row.values)

    await in_order((partial(rows.infer, row) for row in range(len(grid.rows))), finish)


async def _graded(
    segmenter: GradingSegmenter, footprints: Footprints, measured: _Measured, post: Raster, *, twice: bool
) -> tuple[Scores, Scores | None]:
    """Return what the grader says of each footprint that something was seen of, and how far two views are apart."""
    shown, cut = np.flatnonzero(measured.seen), partial(read_crops, post)
    count = len(footprints.sent)
    scores, apart = np.zeros((count, len(segmenter.grader.model.card.classes)), np.float32), np.zeros(count, np.float32)
    if not twice:
        scores[shown] = await grade_buildings(segmenter.grader, footprints.boxes[shown], cut)
        return scores, None
    scores[shown], apart[shown] = await grade_twice(segmenter.grader, footprints.boxes[shown], cut)
    return scores, apart


def _decided(measured: _Measured, scores: Scores, apart: Scores | None) -> GradedFootprints:
    observed = measured.observed()
    lost = (measured.seen == 0) | (observed < LEAST_OBSERVED)
    values = np.where(lost, 0, scores.argmax(axis=1) + 1).astype(np.uint8)
    scores = np.where(lost[:, np.newaxis], np.float32(0), scores)
    return GradedFootprints(measured.footprints, values, scores, measured.seen, observed, apart)


def _summed(spans: Spans, top: int, values: npt.NDArray[np.uint8] | Mask) -> Int64:
    """Return the sum of `values`, (rows, width) from row `top` on, over each span, int64 (n,)."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1), np.int32)
    np.cumsum(values, axis=1, dtype=np.int32, out=sums[:, 1:])
    row = spans.row - top
    return (sums[row, spans.stop] - sums[row, spans.start]).astype(np.int64)
