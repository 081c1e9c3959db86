"""What comes in: an image with or without geography, held whole, and polygons beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.errors import GeographyMissing, ParameterInvalid
from gateway.http.request_path import Job, Parts, digest_of
from gateway.http.uploads import naming_part
from gateway.http.whole_images import read_whole
from gateway.media.geo.districts import DistrictLayer, DistrictLimits, read_districts
from gateway.media.geo.georeference import GeoGrid
from gateway.media.pictures.images import ImageLimits
from gateway.tasks.land.pipeline import Resolution, seen_at
from gateway.tasks.land.roads import Marked, Wanted, read_marked
from gateway.tasks.land.spec import BUILDINGS, DISTRICTS, IMAGE
from gateway.vision.resizing import Size

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
        MaskgateError: as `read_whole`.
    """
    digest = await job.run("decode", _digest_of_all, job.body)

    def admit(size: Size, grid: GeoGrid | None) -> None:
        if grid is not None and resolution is not None:
            raise ParameterInvalid("The image says itself how large its pixels are.", pointer="/resolution")
        _reserve(job, size, _stated(resolution) if grid is None else grid.gsd)

    image = await read_whole(job, IMAGE, admit)
    stated, said = (_stated(resolution), _said_of(resolution)) if image.grid is None else (image.grid.gsd, ())
    notices = image.notices
    if image.lost:
        notices = (*notices, f"{image.lost:.1%} of the image not observed, which is open ground in PNGs")
    return Scene(image.pixels, image.observed, image.grid, stated, (*notices, *said), digest)


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


def _reserve(job: Job[Parts], size: Size, resolution: Resolution) -> None:
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
