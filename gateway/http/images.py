"""Images among the parts of a body: judged by their headers, then decoded off the event loop."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gateway.http.request_path import Job
from gateway.http.uploads import naming_part
from gateway.media.pictures.headers import ImageInfo
from gateway.media.pictures.images import DecodedImage, ImageLimits, decode, probe

Parts = dict[str, memoryview]


async def probe_parts(job: Job[Parts], names: Sequence[str]) -> list[ImageInfo]:
    """Return what the headers of the images `names` declare, before a pixel is decoded.

    Raises:
        MaskgateError: as `probe`, pointing at the part.
    """
    limits = job.services.settings.limits
    image_limits = ImageLimits(limits.image_pixels, limits.image_side, limits.image_side_minimum)

    def probe_part(name: str) -> ImageInfo:
        with naming_part(name):
            return probe(job.body[name], image_limits)

    return await job.run("decode", lambda: [probe_part(name) for name in names])


async def decode_part(job: Job[Parts], name: str, info: ImageInfo) -> DecodedImage:
    """Return the image `name`, of which `probe_parts` returned `info`.

    Raises:
        MaskgateError: as `decode`, pointing at the part.
    """
    with naming_part(name):
        image = await job.run("decode", decode, job.body[name], info)
    job.services.telemetry.images_decoded.inc()
    return image


def digest_of(image: bytes | memoryview) -> str:
    """Return the SHA-256 of an image as it was sent."""
    return f"sha256:{hashlib.sha256(image).hexdigest()}"
