"""Two images of one grid, read from top to bottom in rows of tiles, each pixel once, with what neither shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gateway.media.geo.rasters import Raster
from gateway.tasks.damage.rasters import Ground, Rasters
from gateway.vision.tiling import Grid
from gateway.vision.unseen import edges, featureless

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

# Rows of squares that are judged as a whole are read together; decoders want many rows at once.
_SQUARES = 4


@dataclass(frozen=True)
class Window:
    """Some rows of both images.

    Attributes:
        top: the first row.
        pre: uint8 (rows, width, 3), RGB, before the disaster.
        post: the same after it.
        seen: bool (rows, width), where both show the ground; see `SceneReader`.
        between: as `pre`, of the dates between, the oldest first.
        rasters: by the names of the model's inputs, (rows, width), what is known of the ground.
    """

    top: int
    pre: UInt8
    post: UInt8
    seen: Mask
    between: tuple[UInt8, ...] = ()
    rasters: Rasters = field(default_factory=dict)

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.top + len(self.seen)

    def part(self, top: int, stop: int) -> Window:
        """Return the rows from `top` to before `stop`, as views."""
        rows = slice(top - self.top, stop - self.top)
        between = tuple(image[rows] for image in self.between)
        rasters = {name: raster[rows] for name, raster in self.rasters.items()}
        return Window(top, self.pre[rows], self.post[rows], self.seen[rows], between, rasters)


class SceneReader:
    """Reads a pair by rows of tiles.

    Ground is seen where both images were observed and neither is featureless (see `gateway/vision/unseen.py`). Held are
    the strips that the next row of tiles begins in. For one thread at a time.

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
        self._strips = deque(pairwise([*bounds[:-1:_SQUARES], bounds[-1]]))
        self._held: list[Window] = []
        self._row = 0
        self._judged = judged
        self.featureless = 0

    def take(self) -> Window:
        """Return the next row of tiles, tile rows high, or as high as the images are.

        Raises:
            MaskgateError: as `Raster.read`.
        """
        top = self._grid.rows[self._row]
        stop = min(top + self._grid.tile, self._grid.height)
        self._held = [strip for strip in self._held if strip.stop > top]
        while not self._held or self._held[-1].stop < stop:
            self._held.append(self._read(*self._strips.popleft()))
        self._row += 1
        return _joined([strip.part(max(top, strip.top), min(stop, strip.stop)) for strip in self._held])

    def _read(self, top: int, stop: int) -> Window:
        rows, columns = slice(top, stop), slice(0, self._grid.width)
        pre, pre_observed = self._pre.read(rows, columns)
        post, post_observed = self._post.read(rows, columns)
        observed = pre_observed & post_observed
        between = tuple(
            np.where(shown[..., None], image, pre)
            for image, shown in (raster.read(rows, columns) for raster in self._between)
        )
        rasters = self._ground.read(rows, columns)
        if not self._judged:
            return Window(top, pre, post, observed, between, rasters)
        blank = featureless(pre, observed) | featureless(post, observed)
        self.featureless += int(np.count_nonzero(blank))
        return Window(top, pre, post, observed & ~blank, between, rasters)


def _joined(parts: list[Window]) -> Window:
    """Return windows that follow each other as one. A copy, so that strips are let go while rows are still at work."""
    pre, post, seen = ([getattr(part, name) for part in parts] for name in ("pre", "post", "seen"))
    between = tuple(np.concatenate(images) for images in zip(*(part.between for part in parts), strict=True))
    rasters = {name: np.concatenate([part.rasters[name] for part in parts]) for name in parts[0].rasters}
    return Window(parts[0].top, np.concatenate(pre), np.concatenate(post), np.concatenate(seen), between, rasters)
