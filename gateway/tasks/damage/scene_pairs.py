"""Two scenes brought together: by where they lie on Earth, and then by what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import ceil, floor
from typing import Any, Literal

import numpy as np
from shapely import Polygon

from gateway.errors import PairApart, PairUnaligned
from gateway.inference.segmenter import Segmenter, together
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import GeoTiff
from gateway.media.geo.ground_rasters import GroundRaster
from gateway.media.geo.mosaics import Mosaic, brought
from gateway.media.geo.parts import overlap
from gateway.media.geo.picture_rasters import Picture, shifted
from gateway.media.geo.rasters import Raster
from gateway.vision.buildings import SMALLEST_BUILDING
from gateway.vision.registration import SURE, Block, Float32, Shift, agree, blocks, correlate

Align = Literal["auto", "off", "require"]

LEAST_OVERLAP = 0.05
"""Of the smaller image: what the other must cover. Less is a strip at the border, and most likely a mistake."""

LEAST_PIXELS = SMALLEST_BUILDING
"""Of the pre image: in fewer there is no building to be found."""

# Pixels by which a shift is worth another interpolation of the image.
_WORTH = 0.25


@dataclass(frozen=True)
class Alignment:
    """How the post-disaster image was brought to the grid of the pre-disaster one.

    Attributes:
        asked: as the caller asked.
        shift: what was measured, in pre pixels; None: nothing was.
        corrected: whether that shift was undone.
        overlap: of the pre image, the share that the post image covers, 0–1.
    """

    asked: Align
    shift: Shift | None
    corrected: bool
    overlap: float


@dataclass(frozen=True)
class ScenePair:
    """Two images of one grid, and how they came to it.

    `between` has those of the dates between, the oldest first, `rasters` what is known of the ground, by name.
    """

    pre: Raster
    post: Raster
    alignment: Alignment
    between: tuple[Raster, ...] = ()
    rasters: Mapping[str, GroundRaster] = field(default_factory=dict)


async def pair_scenes(
    segmenter: Segmenter, held: ExitStack, pre: Raster, post: GeoTiff | Mosaic, align: Align = "auto"
) -> ScenePair:
    """Return two georeferenced images as a pair: post warped to the pre grid, a shift that remains undone where sure.

    Args:
        segmenter: of the request.
        held: what is opened is closed with it.
        pre: before the disaster, with geography, perhaps in tiles.
        post: after it, with geography; resolution, coordinate reference system and extent may be others.
        align: ``off`` measures no shift, ``require`` insists on one that is sure.

    Raises:
        PairApart: they share too little ground. Like the next it tells the two footprints.
        PairUnaligned: `align` requires what the images do not let be measured.
        MaskgateError: as `brought` and `Raster.read`.
    """
    grid, other = pre.info.grid, post.info.grid
    if grid is None or other is None:
        raise ValueError("both images are to have geography")
    footprints: dict[str, object] = {"footprints": {"pre": footprint(grid), "post": footprint(other)}}
    common = await segmenter.workers.run(segmenter.timeline, "decode", _common, grid, other)
    if common is None:
        raise PairApart(
            "The images share no ground, or less than a twentieth of the smaller one. `footprints` has where each is.",
            pointer="/post",
            members=footprints,
        )

    if common.area < LEAST_PIXELS:
        raise PairApart(
            f"The images share {common.area:.2f} pixels of the pre image; the smallest building that is found has "
            f"{LEAST_PIXELS}. Take a pre image of finer resolution.",
            pointer="/post",
            members=footprints,
        )

    def warped(by: tuple[float, float]) -> Raster:
        raster = brought(post, grid, by)
        held.callback(raster.close)
        return raster

    width, height = pre.info.width, pre.info.height
    try:
        return await _together(segmenter, pre, warped, common, common.area / (width * height), align)
    except PairUnaligned as error:
        error.members = footprints
        raise


async def pair_pictures(segmenter: Segmenter, pre: Picture, post: Picture, align: Align = "off") -> ScenePair:
    """Return two images of one size without geography as a pair; arguments and errors as `pair_scenes`, if any."""
    width, height = pre.info.width, pre.info.height
    frame = Polygon([(0, 0), (0, height), (width, height), (width, 0)])

    def moved(by: tuple[float, float]) -> Raster:
        return post if by == (0.0, 0.0) else shifted(post, by)

    return await _together(segmenter, pre, moved, frame, 1.0, align)


def footprint(grid: GeoGrid) -> dict[str, Any]:
    """Return where a grid lies as a polygon in GeoJSON."""
    ring = [[round(longitude, 7), round(latitude, 7)] for longitude, latitude in grid.footprint]
    return {"type": "Polygon", "coordinates": [ring]}


def _common(pre: GeoGrid, post: GeoGrid) -> Polygon | None:
    """Return the part of the pre grid that both cover, in its pixels; None where it is too little."""
    of_pre, of_post = overlap(pre, post), overlap(post, pre)
    share = max(of_pre.area / (pre.width * pre.height), of_post.area / (post.width * post.height))
    return of_pre if share >= LEAST_OVERLAP and not of_pre.is_empty else None


async def _together(
    segmenter: Segmenter,
    pre: Raster,
    moved: Callable[[tuple[float, float]], Raster],
    common: Polygon,
    share: float,
    align: Align,
) -> ScenePair:
    """Return the pair with `moved` by what remains between them, where that is wanted and sure."""
    run = partial(segmenter.workers.run_to_end, segmenter.timeline, "decode")
    post = await run(moved, (0.0, 0.0))
    if align == "off":
        return ScenePair(pre, post, Alignment(align, None, False, share))
    shift = await _measured(segmenter, pre, post, common)
    if align == "require" and not shift.sure:
        raise PairUnaligned(
            f"What the images show does not say how they lie to each other: {shift.confidence:.0%} of the places that "
            f"were compared agree, {SURE:.0%} are needed. With align=auto they are taken as they lie.",
            pointer="/post",
        )
    length = float(np.hypot(shift.x, shift.y))
    if shift.sure:
        segmenter.telemetry.pair_shift.observe(length)
    corrected = shift.sure and length >= _WORTH
    if corrected:
        post = await run(moved, (shift.x, shift.y))
    return ScenePair(pre, post, Alignment(align, shift, corrected, share))


async def _measured(segmenter: Segmenter, pre: Raster, post: Raster, common: Polygon) -> Shift:
    """Return the shift between two images of one grid, from a few blocks of what they have in common, side by side."""
    left, top, right, bottom = common.bounds
    x0, y0, x1, y1 = floor(left), floor(top), min(ceil(right), pre.info.width), min(ceil(bottom), pre.info.height)
    run = partial(segmenter.workers.run_to_end, segmenter.timeline, "decode")

    def compared(block: Block) -> Float32 | None:
        rows = slice(y0 + block.y, y0 + block.y + block.side)
        columns = slice(x0 + block.x, x0 + block.x + block.side)
        (first, first_seen), (second, second_seen) = pre.read(rows, columns), post.read(rows, columns)
        return correlate(first, second, first_seen & second_seen)

    places = blocks(y1 - y0, x1 - x0)
    surfaces = await together(run(compared, block) for block in places)
    return await run(agree, list(zip(places, surfaces, strict=True)))
