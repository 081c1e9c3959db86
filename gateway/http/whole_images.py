"""An image from above among the parts of a body, with or without geography, held whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from gateway.errors import ImageUnsuitable, UnsupportedMedia
from gateway.http.request_path import Job, Parts, decode_part, probe_parts
from gateway.http.uploads import naming_part
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import GeoTiff, is_tiff, open_geotiff
from gateway.media.pictures.images import ImageLimits, is_picture
from gateway.media.pictures.transparency import blackened
from gateway.vision.resizing import Size

UInt8 = npt.NDArray[np.uint8]
Admit = Callable[[Size, GeoGrid | None], None]
"""Is told (height, width) and where the image lies before a pixel is decoded: it reserves, or refuses."""


@dataclass(frozen=True)
class WholeImage:
    """An image from above.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        observed: bool (H, W), where it shows something; None: everywhere.
        grid: where it lies; None: it does not say.
        notices: what the caller should know.
    """

    pixels: UInt8
    observed: npt.NDArray[np.bool_] | None
    grid: GeoGrid | None
    notices: tuple[str, ...]

    @property
    def lost(self) -> float:
        """Share of the image that is not observed, 0–1."""
        return 0.0 if self.observed is None or self.observed.all() else float(1 - self.observed.mean())


async def read_whole(job: Job[Parts], name: str, admit: Admit) -> WholeImage:
    """Return the image that a part is: GeoTIFF, which is let go of when it is open, PNG or JPEG.

    Raises:
        ImageUnsuitable: it shows nothing.
        UnsupportedMedia: neither TIFF, PNG nor JPEG.
        MaskgateError: as `open_geotiff`, `probe` and `decode`, pointing at the part; and as `admit`.
    """
    if is_tiff(job.body[name]):
        return await _of_tiff(job, name, admit)
    with naming_part(name):
        if len(job.body[name]) and not is_picture(job.body[name]):
            raise UnsupportedMedia("Satellite images are read as GeoTIFF, PNG or JPEG; this is none of them.")
    [info] = await probe_parts(job, (name,))
    width, height = info.size
    admit((height, width), None)
    image = await decode_part(job, name, info)
    if image.observed is None:
        return WholeImage(image.pixels, None, None, image.notices)
    _check_shown(image.observed, name)
    pixels = await job.run("decode", blackened, image.pixels, image.observed)
    return WholeImage(pixels, image.observed, None, image.notices)


async def _of_tiff(job: Job[Parts], name: str, admit: Admit) -> WholeImage:
    limits = job.services.settings.limits
    sizes = ImageLimits(limits.image_pixels, limits.image_side, limits.image_side_minimum)
    run = partial(job.services.workers.run_to_end, job.timeline, "decode")
    with ExitStack() as held:

        def opened() -> GeoTiff:
            with naming_part(name):
                tiff = open_geotiff(job.body[name], sizes)
            held.callback(tiff.close)
            # It has a copy of its own.
            del job.body[name]
            return tiff

        tiff = await run(opened)
        size = tiff.info.height, tiff.info.width
        admit(size, tiff.info.grid)
        with naming_part(name):
            pixels, observed = await run(tiff.read, slice(0, size[0]), slice(0, size[1]))
    _check_shown(observed, name)
    return WholeImage(pixels, observed, tiff.info.grid, tiff.info.notices)


def _check_shown(observed: npt.NDArray[np.bool_], name: str) -> None:
    if not observed.any():
        raise ImageUnsuitable(
            "The image shows nothing: all of it is nodata, border or transparent.", pointer=f"/{name}"
        )
