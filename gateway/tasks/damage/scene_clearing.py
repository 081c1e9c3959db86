"""Pairs of scenes whose clouds are taken off before damage is looked for, and what of their ground is invented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from gateway.engines.base import Model
from gateway.http.request_path import Job, Parts
from gateway.http.uploads import naming_part
from gateway.inference.restoration import INVENTED, invented_notices, restore_image
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.picture_rasters import Picture
from gateway.media.geo.rasters import Raster
from gateway.media.geo.vectors import outlines
from gateway.media.pictures.images import ImageLimits
from gateway.tasks.damage.inputs import said_of
from gateway.tasks.damage.scene_pairs import ScenePair
from gateway.tasks.damage.scene_pipeline import SceneMap

Mask = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

# Of each image: RGB before and after, what is observed, the share that is invented, and tiles on their way.
_BYTES_PER_PIXEL = 12


@dataclass(frozen=True, eq=False)
class Clearing:
    """What became of a pair's clouds.

    Attributes:
        model: that took them off.
        invented: bool (H, W), where one of the images shows what the model made up.
        pre: of the image before the disaster, the invented share of what was observed, 0–1.
        post: the same of the last one after it.
        notices: what the caller should know.
    """

    model: Model
    invented: Mask
    pre: float
    post: float
    notices: tuple[str, ...]

    def told(self, found: SceneMap) -> SceneMap:
        """Return a map with the share of each building's ground that is invented."""
        graded = found.graded
        shapes = outlines(found.buildings) if graded is None else graded.footprints.shapes
        return replace(found, invented=invented_shares(self.invented, shapes))


async def take_off_clouds(job: Job[Parts], pair: ScenePair, model: Model) -> tuple[ScenePair, Clearing]:
    """Return a pair without clouds, its images held whole, and what of them is invented.

    Args:
        job: the request.
        pair: on one grid.
        model: that takes clouds off.

    Raises:
        ImageTooLarge: a scene that is larger than pictures may be.
        MaskgateError: as `Raster.read` and `Engine.infer`.
    """
    info, limits = pair.pre.info, job.services.settings.limits
    with naming_part("pre"):
        ImageLimits(limits.image_pixels, limits.image_side, 1).check(info.width, info.height)
    job.reservation.grow((2 + len(pair.between)) * info.width * info.height * _BYTES_PER_PIXEL)
    segmenter = Segmenter.of(job.inference, model)
    invented = np.zeros((info.height, info.width), np.bool_)
    shares, notices = [], list[str]()
    cleared = []
    names = ("pre", *("post" for _ in pair.between), "post")
    for name, raster in zip(names, (pair.pre, *pair.between, pair.post), strict=True):
        picture, share, said = await _cleared(job, segmenter, raster, invented)
        cleared.append(picture)
        shares.append(share)
        notices += said_of(name, said)
    pre, *between, post = cleared
    clearing = Clearing(model, invented, shares[0], shares[-1], tuple(dict.fromkeys(notices)))
    return replace(pair, pre=pre, post=post, between=tuple(between)), clearing


async def _cleared(
    job: Job[Parts], segmenter: Segmenter, raster: Raster, invented: Mask
) -> tuple[Raster, float, tuple[str, ...]]:
    """Return an image without clouds, the share of it that is invented, and that in words; `invented` is added to."""
    info = raster.info
    whole = slice(0, info.height), slice(0, info.width)
    pixels, observed = await job.services.workers.run_to_end(job.timeline, "decode", raster.read, *whole)
    if not observed.any():
        return raster, 0.0, ()
    restored = await restore_image(segmenter, pixels, observed)
    await segmenter.aside(np.logical_or, invented, restored.invented >= INVENTED, invented)
    picture = Picture(restored.image, observed, info.notices, info.grid)
    return picture, restored.invented_share, invented_notices(restored)


def invented_shares(invented: Mask, shapes: Sequence[BaseGeometry] | npt.NDArray[np.object_]) -> Float64:
    """Return of each polygon the share of its pixels that is invented, float64 (n,); 0 of what lies outside.

    Args:
        invented: bool (H, W).
        shapes: polygons in pixels, (0, 0) the top left corner of the first.
    """
    return np.array([_share(invented, shape) for shape in shapes], np.float64)


def _share(invented: Mask, shape: BaseGeometry) -> float:
    if shape.is_empty:
        return 0.0
    height, width = invented.shape
    x0, y0, x1, y1 = shape.bounds
    left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
    right, bottom = min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1)))
    if left >= right or top >= bottom:
        return 0.0
    inside = np.zeros((bottom - top, right - left), np.uint8)
    # Pixels' middles are whole numbers to OpenCV.
    rings = [np.rint(ring - (left + 0.5, top + 0.5)).astype(np.int32) for ring in _rings(shape)]
    cv2.fillPoly(inside, rings, 1)
    of_it = invented[top:bottom, left:right][inside > 0]
    return float(of_it.mean()) if of_it.size else 0.0


def _rings(shape: BaseGeometry) -> Iterator[Float64]:
    for ring in shapely.get_rings(shapely.get_parts(shape)):
        yield shapely.get_coordinates(ring)
