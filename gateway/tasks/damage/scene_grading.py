"""Buildings of a scene graded one by one, each whole, on the way from what finds them to what takes the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.rasters import Raster
from gateway.tasks.damage.fused import Boxes, FusedSegmenter, grade_twice
from gateway.tasks.damage.scene_bands import Band, Mask, UInt8
from gateway.vision.buildings import crop_window, cut_crop
from gateway.vision.regions import Region
from gateway.vision.streamed_grades import GradeStream

T = TypeVar("T")


class Grading:
    """Takes bands of a mask, and gives back bands of the label map, later where buildings are not known whole yet.

    Args:
        segmenter: of the request.
        post: after the disaster; each building is read from it by itself.
        twice: whether each is graded once more as a mirror shows it.
    """

    def __init__(self, segmenter: FusedSegmenter, post: Raster, *, twice: bool = False) -> None:
        """Begin above the first row."""
        self._twice = twice
        self._scores: dict[tuple[int, ...], tuple[float, ...]] = {}
        self._segmenter = segmenter
        self._post = post
        self._stream = GradeStream(post.info.width)
        # Of the rows that are not final yet: where both images show the ground, and the one after the disaster.
        self._top = 0
        self._shown: list[tuple[Mask, UInt8 | None]] = []

    @property
    def cut(self) -> int:
        """How many regions were graded in parts, because they are taller than any building."""
        return self._stream.cut

    async def add(self, band: Band) -> list[Band]:
        """Take the next band, labels above 0 where there are buildings, and return those that are final now.

        Raises:
            MaskgateError: as `Raster.read` and `Engine.infer`.
        """
        self._shown.append((band.seen, band.post))
        mask = np.where(band.labels == NOT_OBSERVED, np.uint8(0), band.labels)
        return await self._graded(await self._aside(self._stream.add, mask, band.sureness))

    async def end(self) -> list[Band]:
        """Return what the last row makes final; errors as of `add`."""
        if not self._shown:
            return []
        return await self._graded(await self._aside(self._stream.end))

    def told(self, buildings: Sequence[Region]) -> tuple[Region, ...]:
        """Return regions of the label map with what the grader said of each, as `Band.known` has it.

        Of one that was graded in parts it is not known.
        """
        return tuple(replace(building, means=self._scores.get(building.box)) for building in buildings)

    async def _graded(self, boxes: Boxes) -> list[Band]:
        cut = partial(read_crops, self._post)
        if self._twice:
            scores, apart = await grade_twice(self._segmenter.grader, boxes, cut)
            rows = np.column_stack([scores, apart])
        else:
            rows = scores = await self._segmenter.grade(boxes, cut)
        for box, row in zip(boxes.tolist(), rows.tolist(), strict=True):
            self._scores[tuple(box)] = (0.0, *row)
        return self._bands(*await self._aside(self._stream.paint, scores))

    def _bands(self, labels: UInt8, sureness: UInt8) -> list[Band]:
        """Return rows that are final as bands, each with what was seen of them, which is let go."""
        bands = []
        while len(labels):
            seen, post = self._shown.pop(0)
            rows = min(len(seen), len(labels))
            graded = np.where(seen[:rows], labels[:rows], NOT_OBSERVED)
            bands.append(
                Band(self._top, graded, sureness[:rows], seen[:rows], post=None if post is None else post[:rows])
            )
            labels, sureness = labels[rows:], sureness[rows:]
            self._top += rows
            if rows < len(seen):
                self._shown.insert(0, (seen[rows:], None if post is None else post[rows:]))
        return bands

    async def _aside(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._segmenter.workers.run_to_end(self._segmenter.timeline, "finish", function, *arguments)


def read_crops(image: Raster, boxes: Boxes, grow: float, size: int) -> UInt8:
    """Return a crop around each box, uint8 (n, size, size, 3), as `cut_crop` makes it of the whole image."""
    crops = []
    for x0, y0, x1, y1 in boxes.tolist():
        rows, columns = crop_window((x0, y0, x1, y1), grow, (image.info.height, image.info.width))
        pixels, _ = image.read(rows, columns)
        x, y = columns.start, rows.start
        crops.append(cut_crop(pixels, (x0 - x, y0 - y, x1 - x, y1 - y), grow, size))
    return np.stack(crops)
