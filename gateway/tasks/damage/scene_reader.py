"""Two images of one grid, read from top to bottom in rows of tiles, each pixel once, with what neither shows."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gateway.inference.segmenter import together
from gateway.media.geo.rasters import Raster
from gateway.tasks.damage.pipeline import Rasters
from gateway.tasks.damage.rasters import Ground
from gateway.vision.tiling import Grid
from gateway.vision.unseen import edges, featureless

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Kind = TypeVar("Kind", np.uint8, np.bool_)
Aside = Callable[..., Coroutine[Any, Any, Any]]
"""Returns what a function, the first argument, returns of the others in a thread, which it does not leave at work."""

# Rows of squares that are judged as a whole are read together; decoders want many rows at once.
_SQUARES = 4


@dataclass(frozen=True)
class Strip:
    """Some rows of both images as they were read.

    Attributes:
        pre: uint8 (rows, width, 3), RGB, before the disaster.
        post: the same after it.
        seen: bool (rows, width), where both show the ground; see `SceneReader`.
        between: as `pre`, of the dates between, the oldest first.
        rasters: by the names of the model's inputs, (rows, width), what is known of the ground.
    """

    pre: UInt8
    post: UInt8
    seen: Mask
    between: tuple[UInt8, ...] = ()
    rasters: Rasters = field(default_factory=dict)

    def part(self, rows: slice) -> Strip:
        """Return some of the rows, as views."""
        between = tuple(image[rows] for image in self.between)
        rasters = {name: raster[rows] for name, raster in self.rasters.items()}
        return Strip(self.pre[rows], self.post[rows], self.seen[rows], between, rasters)


@dataclass(frozen=True, eq=False)
class Window:
    """Some rows of both images, in the strips that they were read in: to join these copies all of them.

    Attributes:
        top: the first row.
        strips: one below the other, at least one.
    """

    top: int
    strips: tuple[Strip, ...]

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.top + sum(len(strip.seen) for strip in self.strips)

    @cached_property
    def seen(self) -> Mask:
        """Where both images show the ground, bool (rows, width)."""
        return _joined([strip.seen for strip in self.strips])

    @cached_property
    def post(self) -> UInt8:
        """The image after the disaster, uint8 (rows, width, 3), RGB."""
        return _joined([strip.post for strip in self.strips])

    def shows(self, columns: slice) -> bool:
        """Return whether both images show some ground in these columns."""
        return any(strip.seen[:, columns].any() for strip in self.strips)

    def part(self, top: int, stop: int) -> Window:
        """Return the rows from `top` to before `stop`, as views."""
        parts, first = [], self.top
        for strip in self.strips:
            behind = first + len(strip.seen)
            if first < stop and behind > top:
                parts.append(strip.part(slice(max(top - first, 0), min(stop, behind) - first)))
            first = behind
        return Window(top, tuple(parts))


class SceneReader:
    """Reads a pair by rows of tiles.

    Ground is seen where both images were observed and neither is featureless (see `gateway/vision/unseen.py`). Held are
    the strips that the next row of tiles begins in. For one caller at a time.

    Args:
        pre: before the disaster.
        post: after it, on the same grid.
        grid: of the tiles.
        between: of the dates between, on the same grid, the oldest first. Where one of them shows nothing it has the
            pixels of `pre`: nothing was seen to change.
        ground: what is known of it, read along with the images.
        judged: whether images are asked where they are featureless. Pairs of plain pictures are not: `map_damage` takes
            them as they are, and the answer may not depend on the form that is asked for.

    Attributes:
        featureless: pixels that were observed in both images, and in one of them show nothing.
    """

    def __init__(
        self,
        pre: Raster,
        post: Raster,
        grid: Grid,
        between: Sequence[Raster] = (),
        *,
        ground: Ground | None = None,
        judged: bool = True,
    ) -> None:
        """Read nothing yet."""
        self._ground = ground or Ground(())
        self._pre, self._post, self._between, self._grid = pre, post, between, grid
        bounds = edges(grid.height)
        # No more than the first row of tiles needs goes before it: until it is read nothing is inferred. All others end
        # where blocks of a file often do, which then need not be kept.
        first = bounds[bisect_left(bounds, min(grid.tile, grid.height))]
        ends = {first, *(end for end in bounds[::_SQUARES] if end > first), grid.height}
        self._bounds = deque(pairwise([0, *sorted(ends)]))
        self._held: Window | None = None
        self._row = 0
        self._judged = judged
        self.featureless = 0

    async def take(self, aside: Aside) -> Window:
        """Return the next row of tiles, tile rows high, or as high as the images are.

        The images are read side by side: until the first row is there nothing else of the scene has work.

        Args:
            aside: where they are read.

        Raises:
            MaskgateError: as `Raster.read`.
        """
        top = self._grid.rows[self._row]
        stop = min(top + self._grid.tile, self._grid.height)
        held = [] if self._held is None else list(self._held.part(top, self._held.stop).strips)
        reached = top if self._held is None else self._held.stop
        while reached < stop:
            first, reached = self._bounds.popleft()
            held.append(await self._read(aside, slice(first, reached)))
        self._held = Window(top, tuple(held))
        self._row += 1
        return self._held.part(top, stop)

    async def _read(self, aside: Aside, rows: slice) -> Strip:
        columns = slice(0, self._grid.width)
        rasters = (self._pre, self._post, *self._between)
        images = await together(aside(raster.read, rows, columns) for raster in rasters)
        strip: Strip = await aside(self._strip, images, rows, columns)
        return strip

    def _strip(self, images: list[tuple[UInt8, Mask]], rows: slice, columns: slice) -> Strip:
        """Return what was read of all images as one strip, and leave nothing of it in `images`."""
        (pre, pre_observed), (post, post_observed), *others = images
        seen = pre_observed & post_observed
        # Of a scene 20,000 wide 10 MB each.
        del pre_observed, post_observed
        images.clear()
        between = tuple(np.where(shown[..., None], image, pre) for image, shown in others)
        rasters = self._ground.read(rows, columns)
        blank = [*featureless(pre, seen), *featureless(post, seen)] if self._judged else []
        for square in blank:
            self.featureless += int(np.count_nonzero(seen[square]))
            seen[square] = False
        return Strip(pre, post, seen, between, rasters)


def _joined(images: list[npt.NDArray[Kind]]) -> npt.NDArray[Kind]:
    return images[0] if len(images) == 1 else np.concatenate(images)
