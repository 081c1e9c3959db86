"""Two pictures among the parts of a body, decoded as a pair."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.http.images import Parts, decode_part, probe_parts
from gateway.http.request_path import Job
from gateway.tasks.damage.pipeline import check_pair

PARTS = ("pre", "post")
# Per pre pixel: three bytes decoded, three of the post image on its grid, label map, confidence map, and
# what finding regions takes: a component map (int32) and a padded copy of the label map.
_BYTES_PER_PRE_PIXEL = 13
# Per post pixel: three bytes decoded.
_BYTES_PER_POST_PIXEL = 3


@dataclass(frozen=True)
class Pair:
    """Two decoded pictures, uint8 (H, W, 3), RGB, and what the caller should know of them."""

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    notices: tuple[str, ...]


async def decode_pair(job: Job[Parts], model: Model) -> Pair:
    """Return both images; what their headers show to be unservable is refused before a pixel is decoded.

    Raises:
        MaskgateError: as `probe_parts`, `check_pair` and `decode_part`.
    """
    pre, post = await probe_parts(job, PARTS)
    notices = check_pair(model, pre.size, post.size)
    job.reservation.expect(pre.pixels + post.pixels)
    job.reservation.grow(pre.pixels * _BYTES_PER_PRE_PIXEL + post.pixels * _BYTES_PER_POST_PIXEL)
    first, second = await asyncio.gather(decode_part(job, "pre", pre), decode_part(job, "post", post))
    return Pair(
        first.pixels, second.pixels, (*said_of("pre", first.notices), *said_of("post", second.notices), *notices)
    )


def said_of(name: str, notices: tuple[str, ...]) -> list[str]:
    """Return notices of one image as those of a pair."""
    return [f"{name} image: {notice}" for notice in notices]


def digest_of_pair(job: Job[Parts]) -> str:
    """Return the SHA-256 over those of both images as they were sent."""
    parts = b"".join(hashlib.sha256(job.body[name]).digest() for name in PARTS)
    return f"sha256:{hashlib.sha256(parts).hexdigest()}"
