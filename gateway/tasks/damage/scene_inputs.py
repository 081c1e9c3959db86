"""Pairs of scenes that were opened, brought to one grid."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from gateway.engines.base import Model
from gateway.errors import GeographyMissing, MaskgateError
from gateway.http.request_path import Job, Parts, decode_part, probe_parts
from gateway.http.uploads import naming_part
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.footprints import FootprintLimits, Footprints, read_footprints
from gateway.media.geo.ground_rasters import GroundRaster
from gateway.media.geo.picture_rasters import Picture
from gateway.media.geo.rasters import Raster, RasterInfo
from gateway.tasks.damage.inputs import resized_picture, said_of
from gateway.tasks.damage.pipeline import check_pair, segmenter_of
from gateway.tasks.damage.scene_files import Opened, picture_limits
from gateway.tasks.damage.scene_pairs import Align, ScenePair, pair_pictures, pair_scenes
from gateway.tasks.damage.spec import FOOTPRINTS

# Per pixel of a picture: three bytes decoded, three on the grid of the other or moved, one of what is observed.
_BYTES_PER_PIXEL = 7
_BYTES_PER_JSON_BYTE = 8


async def read_known(job: Job[Parts], footprints: memoryview, info: RasterInfo) -> Footprints:
    """Return the footprints among the parts, on the grid of the pre image, of which there is `info`.

    Raises:
        MaskgateError: as `read_footprints`, pointing at the part.
    """
    limits = job.services.settings.limits
    # What is read of JSON is some times as large as its text.
    job.reservation.grow(len(footprints) * _BYTES_PER_JSON_BYTE + info.width * info.height // 8)
    sizes = FootprintLimits(limits.footprints, limits.footprint_bytes)

    def read() -> Footprints:
        with naming_part(FOOTPRINTS):
            return read_footprints(footprints, sizes, info.height, info.width, info.grid)

    return await job.services.workers.run_to_end(job.timeline, "decode", read)


async def take_pair(
    job: Job[Parts], held: ExitStack, opened: Opened, model: Model, align: Align | None
) -> tuple[ScenePair, tuple[str, ...]]:
    """Return the images as a pair on the pre grid, and what the caller should know of how they came to it.

    Those of dates between are brought to it one by one, as the last one is.

    Raises:
        MaskgateError: as `pair_scenes`, `pair_pictures`, `check_pair`, `probe_parts` and `decode_part`.
    """
    segmenter = segmenter_of(job.inference, model)
    pair, notices = await _take(job, held, opened, model, align, segmenter, "post")
    between = []
    for name in opened.between:
        try:
            other, said = await _take(job, held, opened, model, align, segmenter, name)
        except MaskgateError as error:
            error.pointer = f"/{name}" if error.pointer == "/post" else error.pointer
            raise
        between.append(other.post)
        notices = (*notices, *said)
    rasters, said = await job.services.workers.run_to_end(job.timeline, "decode", _placed, opened, pair.pre.info)
    return replace(pair, between=tuple(between), rasters=rasters), tuple(dict.fromkeys((*notices, *said)))


def _placed(opened: Opened, pre: RasterInfo) -> tuple[dict[str, GroundRaster], tuple[str, ...]]:
    """Return the rasters on the grid of the image before the disaster, and what the caller should know of them.

    Raises:
        GeographyMissing: one does not say where it lies, and the images do; or these lie nowhere, and it is not of
            their size.
        GeometryUnsuitable: there is no way from its coordinate reference system to that of the images.
    """
    placed: dict[str, GroundRaster] = {}
    for name, file in opened.rasters.items():
        with naming_part(name):
            if pre.grid is not None and file.grid is not None:
                placed[name] = file.on(pre.grid)
            elif pre.grid is None and file.size == (pre.width, pre.height):
                placed[name] = file.as_it_is()
            elif pre.grid is None:
                raise GeographyMissing(
                    f"The images lie nowhere on Earth, so that {name} is taken pixel for pixel: it is to have "
                    f"{pre.width}×{pre.height}, and has {file.size[0]}×{file.size[1]}."
                )
            else:
                raise GeographyMissing(f"The images say where on Earth they lie, and {name} does not.")
    return placed, tuple(said for name, raster in placed.items() for said in said_of(name, raster.notices, "raster"))


async def _take(
    job: Job[Parts],
    held: ExitStack,
    opened: Opened,
    model: Model,
    align: Align | None,
    segmenter: Segmenter,
    name: str,
) -> tuple[ScenePair, tuple[str, ...]]:
    """Return the image before the disaster and the one of that name as a pair; see `take_pair`."""
    after = opened.after[name]
    if opened.pre is not None and after is not None and opened.on_earth:
        size = (opened.pre.info.width, opened.pre.info.height)
        said = [*said_of("pre", opened.pre.info.notices), *said_of(name, after.info.notices)]
        pair = await pair_scenes(segmenter, held, opened.pre, after, align or "auto")
        return pair, (*said, *check_pair(model, size, size))
    pre, post = await _picture(job, "pre", opened.pre), await _picture(job, name, after)
    size = (pre.info.width, pre.info.height)
    notices = check_pair(model, size, (post.info.width, post.info.height), name)
    on_grid = await job.run("finish", resized_picture, post, size)
    pair = await pair_pictures(segmenter, pre, on_grid, align or "off")
    return pair, (*said_of("pre", pre.notices), *said_of(name, post.notices), *notices)


async def _picture(job: Job[Parts], name: str, tiff: Raster | None) -> Picture:
    """Return an image without geography, held in memory whole."""
    if tiff is None:
        (info,) = await probe_parts(job, (name,))
        job.reservation.grow(info.pixels * _BYTES_PER_PIXEL)
        return Picture.of(await decode_part(job, name, info))
    limits = job.services.settings.limits
    width, height = tiff.info.width, tiff.info.height
    with naming_part(name):
        picture_limits(limits).check(width, height)
        job.reservation.grow(width * height * _BYTES_PER_PIXEL)
        whole = slice(0, height), slice(0, width)
        pixels, observed = await job.services.workers.run_to_end(job.timeline, "decode", tiff.read, *whole)
    return Picture(pixels, observed, tiff.info.notices)
