"""What comes in: an image with or without geography, held whole, and polygons beside it."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from gateway.errors import GeographyMissing, ImageUnsuitable, ParameterInvalid, UnsupportedMedia
from gateway.http.request_path import Job, Parts, decode_part, digest_of, probe_parts
from gateway.http.uploads import naming_part
from gateway.media.geo.districts import DistrictLayer, DistrictLimits, read_districts
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import GeoTiff, is_tiff, open_geotiff
from gateway.media.pictures.images import ImageLimits, is_picture
from gateway.tasks.land.pipeline import Resolution, seen_at
from gateway.tasks.land.roads import Marked, Wanted, read_marked
from gateway.tasks.land.spec import BUILDINGS, DISTRICTS, IMAGE

UInt8 = npt.NDArray[np.uint8]

USUAL = 0.5
"""Metres a pixel of an image that does not say, where its caller does not either: those of xBD's imagery."""

# Per pixel of the image: RGB, what is observed, labels and confidence, what finding regions takes and the answer; per
# pixel at a metre: RGB, probabilities and what blending holds of them, labels, and what thinning lines takes.
_BYTES_PER_PIXEL, _BYTES_PER_SEEN_PIXEL = 20, 48
_BYTES_PER_JSON_BYTE = 8


@dataclass(frozen=True)
class Scene:
    """An image from above.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        observed: bool (H, W), where it shows something; None: everywhere.
        grid: where it lies; None: it does not say.
        resolution: of its pixels on the ground.
        notices: what the caller should know.
        digest: of all parts as they were sent.
    """

    pixels: UInt8
    observed: npt.NDArray[np.bool_] | None
    grid: GeoGrid | None
    resolution: Resolution
    notices: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Beside:
    """The polygons that came along, or None of each."""

    marked: Marked | None
    districts: DistrictLayer | None

    @property
    def notices(self) -> tuple[str, ...]:
        """What the caller should know of how they were read."""
        return tuple(note for layer in (self.marked, self.districts) if layer is not None for note in layer.notices)


async def read_scene(job: Job[Parts], resolution: float | None) -> Scene:
    """Return the image; what its header shows to be unservable is refused before a pixel is decoded.

    Raises:
        GeometryUnsuitable: its pixels are too large or too small on the ground.
        ParameterInvalid: `resolution` is given of a file that says it itself.
        UnsupportedMedia: neither TIFF, PNG nor JPEG.
        MaskgateError: as `open_geotiff`, `probe` and `decode`, pointing at the part.
    """
    digest = await job.run("decode", _digest_of_all, job.body)
    if is_tiff(job.body[IMAGE]):
        return await _of_tiff(job, resolution, digest)
    with naming_part(IMAGE):
        if len(job.body[IMAGE]) and not is_picture(job.body[IMAGE]):
            raise UnsupportedMedia("Satellite images are read as GeoTIFF, PNG or JPEG; this is none of them.")
    [info] = await probe_parts(job, (IMAGE,))
    width, height = info.size
    _reserve(job, (height, width), _stated(resolution))
    image = await decode_part(job, IMAGE, info)
    return Scene(image.pixels, None, None, _stated(resolution), (*image.notices, *_said_of(resolution)), digest)


async def read_beside(job: Job[Parts], scene: Scene, wanted: Wanted, district_name: str | None) -> Beside:
    """Return the polygons among the parts.

    Raises:
        GeographyMissing: there are some, and the image does not say where it lies.
        MaskgateError: as `read_marked` and `read_districts`, pointing at the part.
    """
    limits, body = job.services.settings.limits, job.body
    for name in (BUILDINGS, DISTRICTS):
        if name in body and scene.grid is None:
            raise GeographyMissing(
                "The polygons lie on Earth, and the image does not say where it lies.", pointer=f"/{name}"
            )
    job.reservation.grow(_BYTES_PER_JSON_BYTE * sum(len(body[name]) for name in (BUILDINGS, DISTRICTS) if name in body))

    def read() -> Beside:
        marked = districts = None
        with naming_part(BUILDINGS):
            if BUILDINGS in body:
                marked = read_marked(body[BUILDINGS], limits.footprints, limits.footprint_bytes, wanted)
        with naming_part(DISTRICTS):
            if DISTRICTS in body:
                most = DistrictLimits(limits.districts, limits.district_bytes)
                districts = read_districts(body[DISTRICTS], most, district_name)
        return Beside(marked, districts)

    return await job.services.workers.run_to_end(job.timeline, "decode", read)


async def _of_tiff(job: Job[Parts], resolution: float | None, digest: str) -> Scene:
    limits = job.services.settings.limits
    sizes = ImageLimits(limits.image_pixels, limits.image_side, limits.image_side_minimum)
    run = partial(job.services.workers.run_to_end, job.timeline, "decode")
    with ExitStack() as held:

        def opened() -> GeoTiff:
            with naming_part(IMAGE):
                tiff = open_geotiff(job.body[IMAGE], sizes)
            held.callback(tiff.close)
            # It has a copy of its own.
            del job.body[IMAGE]
            return tiff

        tiff = await run(opened)
        grid, size = tiff.info.grid, (tiff.info.height, tiff.info.width)
        if grid is not None and resolution is not None:
            raise ParameterInvalid("The image says itself how large its pixels are.", pointer="/resolution")
        stated, said = (_stated(resolution), _said_of(resolution)) if grid is None else (grid.gsd, ())
        _reserve(job, size, stated)
        with naming_part(IMAGE):
            pixels, observed = await run(tiff.read, slice(0, size[0]), slice(0, size[1]))
    if not observed.any():
        raise ImageUnsuitable("The image shows nothing: all of it is nodata or border.", pointer=f"/{IMAGE}")
    notices = tiff.info.notices
    if not observed.all():
        notices = (*notices, f"{1 - observed.mean():.1%} of the image not observed, which is open ground in PNGs")
    return Scene(pixels, observed, grid, stated, (*notices, *said), digest)


def _reserve(job: Job[Parts], size: tuple[int, int], resolution: Resolution) -> None:
    with naming_part(IMAGE):
        height, width = seen_at(size, resolution)
        limits = job.services.settings.limits
        ImageLimits(limits.image_pixels, limits.image_side, 1).check(width, height)
    job.reservation.expect(height * width)
    job.reservation.grow(size[0] * size[1] * _BYTES_PER_PIXEL + height * width * _BYTES_PER_SEEN_PIXEL)


def _stated(resolution: float | None) -> Resolution:
    metres = USUAL if resolution is None else resolution
    return metres, metres


def _said_of(resolution: float | None) -> tuple[str, ...]:
    if resolution is not None:
        return ()
    return (f"the image does not say how large its pixels are on the ground; taken as {USUAL} m, see `resolution`",)


def _digest_of_all(parts: Parts) -> str:
    digests = [digest_of(parts[name]) for name in (IMAGE, BUILDINGS, DISTRICTS) if name in parts]
    if len(digests) == 1:
        return digests[0]
    joined = b"".join(bytes.fromhex(each.removeprefix("sha256:")) for each in digests)
    return f"sha256:{hashlib.sha256(joined).hexdigest()}"
