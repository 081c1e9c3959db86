"""Buildings of a scene that get one grade each, on the way from what finds them to what takes the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from gateway.inference.segmenter import Segmenter
from gateway.media.geo.rasters import Raster
from gateway.repository.card import VoteSpec
from gateway.tasks.damage.fused import Boxes, FusedSegmenter, grade_twice
from gateway.tasks.damage.scene_bands import Band, HeldBands, UInt8
from gateway.vision.buildings import GradeStream, crop_window, cut_crop
from gateway.vision.regions import Region
from gateway.vision.votes import VoteStream

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
        self._held = HeldBands()

    @property
    def cut(self) -> int:
        """How many regions were graded in parts, because they are taller than any building."""
        return self._stream.cut

    async def add(self, band: Band) -> list[Band]:
        """Take the next band, labels above 0 where there are buildings, and return those that are final now.

        Raises:
            MaskgateError: as `Raster.read` and `Engine.infer`.
        """
        # What the finder says of pixels is not what the grader says of buildings; see `told`.
        self._held.add(replace(band, known=None))
        return await self._graded(await self._aside(self._stream.add, band.shown(), band.sureness))

    async def end(self) -> list[Band]:
        """Return what the last row makes final; errors as of `add`."""
        return [] if self._held.empty else await self._graded(await self._aside(self._stream.end))

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
        return self._held.final(*await self._aside(self._stream.paint, scores))

    async def _aside(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._segmenter.workers.run_to_end(self._segmenter.timeline, "finish", function, *arguments)


class Voting:
    """Takes bands of the label map, and gives back bands of one grade per roof, later where roofs are not whole yet.

    Args:
        segmenter: of the request.
        width: of the scene.
        vote: as the model's card has it.
    """

    def __init__(self, segmenter: Segmenter, width: int, vote: VoteSpec) -> None:
        """Begin above the first row."""
        self._stream = VoteStream(width, vote)
        self._held = HeldBands()
        self._aside = partial(segmenter.workers.run_to_end, segmenter.timeline, "finish")

    async def add(self, band: Band) -> list[Band]:
        """Take the next band, whose `known` is there, and return those that are final now."""
        self._held.add(band)
        return await self._aside(self._voted, band)

    async def end(self) -> list[Band]:
        """Return what the last row makes final."""
        return await self._aside(self._voted, None)

    def _voted(self, band: Band | None) -> list[Band]:
        if band is None:
            return self._held.final(*self._stream.end())
        return self._held.final(*self._stream.add(band.shown(), band.sureness, band.known or ()))


def read_crops(image: Raster, boxes: Boxes, grow: float, size: int) -> UInt8:
    """Return a crop around each box, uint8 (n, size, size, 3), as `cut_crop` makes it of the whole image."""
    crops = []
    for x0, y0, x1, y1 in boxes.tolist():
        rows, columns = crop_window((x0, y0, x1, y1), grow, (image.info.height, image.info.width))
        pixels, _ = image.read(rows, columns)
        x, y = columns.start, rows.start
        crops.append(cut_crop(pixels, (x0 - x, y0 - y, x1 - x, y1 - y), grow, size))
    return np.stack(crops)
