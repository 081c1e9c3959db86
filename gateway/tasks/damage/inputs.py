"""Pictures among the parts of a body, told apart by their dates, and decoded as a pair or as a series.

Of a body's images after the disaster those of the last date are `post`, with its tiles. Those of the dates between are
`between_1`, `between_2` and so on, the oldest first: the names that models of series give their inputs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.access.keys import Caller, check_scope
from gateway.engines.base import Model
from gateway.errors import MaskgateError, ModelUnsuitable, PairUnobserved, ParameterInvalid, UnsupportedMedia
from gateway.http.request_path import Job, Parts, decode_part, probe_parts
from gateway.http.uploads import naming_part
from gateway.media.geo.geotiff import is_tiff
from gateway.media.geo.picture_rasters import Picture
from gateway.media.pictures.headers import ImageInfo
from gateway.media.pictures.images import DecodedImage, decode, is_picture
from gateway.stores.ranges import Allowance, StoredFile
from gateway.stores.references import is_reference, open_references, read_references
from gateway.tasks.damage.pipeline import BETWEEN, check_pair, slots_of, to_pre_grid
from gateway.tasks.damage.scene_bands import LEAST_OBSERVED
from gateway.tasks.damage.spec import DISTRICTS, FOOTPRINTS, RASTERS

Bool = NDArray[np.bool_]

PARTS = ("pre", "post")

Referred = Mapping[str, Sequence[StoredFile]]
"""Files in stores, by the names of the parts in the place of which they are."""

# Per pre pixel: three bytes decoded, three of the post image on its grid, label map, confidence map, and
# what finding regions takes: a component map (int32) and a padded copy of the label map.
_BYTES_PER_PRE_PIXEL = 13
# Per post pixel: three bytes decoded.
_BYTES_PER_POST_PIXEL = 3
# Per pixel of each image, where one is transparent in part: a copy in black there, and where that is.
_BYTES_PER_HIDDEN_PIXEL = 4


@dataclass(frozen=True)
class SceneHints:
    """What a caller says of the files, as it was sent: ``value``, or ``pre:value`` and ``post:value``.

    Attributes:
        bands: numbers of red, green and blue, or of a grey band.
        nodata: sample of what was not observed.
        crs: code of EPSG's.
        district_name: property of districts that is their name; None: the first of the usual ones.
        bbox: which part of the pre image is meant: west, south, east, north; None: all of it.
    """

    bands: tuple[str, ...] = ()
    nodata: tuple[str, ...] = ()
    crs: tuple[str, ...] = ()
    district_name: str | None = None
    bbox: str | None = None

    @property
    def of_images(self) -> bool:
        """Whether anything is said of how an image is to be read, or what of it."""
        return bool(self.bands or self.nodata or self.crs or self.bbox is not None)


@dataclass(frozen=True)
class SceneWishes:
    """What a caller wants of the answer about scenes.

    Attributes:
        output_crs: that of layers, ``source`` or a code of EPSG's; None: WGS 84.
        uncertain_below: confidence under which a building is uncertain, 0–1.
        twice: whether models look once more at everything as a mirror shows it.
        clearer: the model that takes clouds off before; None: they stay.
    """

    output_crs: str | None = None
    uncertain_below: float = 0.5
    twice: bool = False
    clearer: Model | None = None


@dataclass(frozen=True)
class Pair:
    """Decoded pictures.

    Attributes:
        pre: uint8 (H, W, 3), RGB; black where it is transparent, as the others.
        post: the same of any size.
        between: those of the dates between.
        notices: what the caller should know of them.
        observed: bool (H, W), on the grid of `pre`, where none of them is transparent; None: everywhere.
    """

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    between: tuple[NDArray[np.uint8], ...]
    notices: tuple[str, ...]
    observed: Bool | None = None


def tiles_of(parts: Parts, name: str) -> list[str]:
    """Return the names of the parts that are tiles of one image, the first of which has its name."""
    return [part for part in parts if part == name or part.startswith(f"{name}/")]


def between_of(parts: Parts) -> list[str]:
    """Return the names of the images of the dates between, the oldest first."""
    return [part for part in parts if part.startswith(BETWEEN) and "/" not in part]


def images_of(parts: Parts) -> list[str]:
    """Return the names of all images in the order of their dates."""
    return ["pre", *between_of(parts), "post"]


def tell_apart(parts: Parts, dates: Sequence[date]) -> Mapping[str, str]:
    """Name the images after the disaster by their dates; parts of one date stay tiles of one image.

    Args:
        parts: of a body; its images after the disaster are renamed.
        dates: of these, in the order in which they were sent; none: they are tiles of one image.

    Returns:
        What each of them was called before.

    Raises:
        ParameterInvalid: there are not as many dates as images.
    """
    sent = tiles_of(parts, "post")
    if not dates:
        return {}
    if len(dates) != len(sent):
        raise ParameterInvalid(
            f"Each image after the disaster has one date, in their order; there are {len(sent)} images and "
            f"{len(dates)} dates.",
            pointer="/post_date",
        )
    days = sorted(set(dates))
    former: dict[str, str] = {}
    for number, day in enumerate(days, 1):
        role = "post" if day == days[-1] else f"{BETWEEN}{number}"
        tiles = [name for name, taken in zip(sent, dates, strict=True) if taken == day]
        former |= {f"{role}/{index}" if index else role: name for index, name in enumerate(tiles)}
    images = {name: parts.pop(was) for name, was in former.items()}
    parts.update(images)
    return former


@contextmanager
def pointing_as_sent(former: Mapping[str, str]) -> Iterator[None]:
    """Let the problem of an error raised inside point at a part by the name that it was sent with."""
    try:
        yield
    except MaskgateError as error:
        # The longest name first: `between_1/1` is no part of `between_1`.
        for name in sorted(former, key=len, reverse=True):
            if error.pointer == f"/{name}" or (error.pointer or "").startswith(f"/{name}/"):
                error.pointer = f"/{former[name]}{(error.pointer or '').removeprefix(f'/{name}')}"
                break
        raise


def check_series(model: Model, parts: Parts) -> None:
    """Check that a model reads as many dates as the images are of.

    Raises:
        ModelUnsuitable: it reads fewer.
    """
    most, dates = len(slots_of(model)) + 1, len(between_of(parts)) + 1
    if dates > most:
        reads = "one date" if most == 1 else f"{most} dates at most"
        raise ModelUnsuitable(
            f"{model.name} reads images of {reads} after the disaster; these are of {dates}. A model of series reads "
            "several, such as bd-rnn-lite0-series; images of the same date are tiles of one.",
            pointer="/model",
        )


def check_formats(parts: Parts) -> None:
    """Check that both images, and rasters beside them, are of a kind that is read, as their first bytes have it.

    Raises:
        UnsupportedMedia: one is not, pointing at the part.
    """
    for name in [*tiles_of(parts, "pre"), *tiles_of(parts, "post")]:
        with naming_part(name):
            # Of nothing at all something else is to be said.
            if len(parts[name]) and not (is_picture(parts[name]) or is_tiff(parts[name]) or is_reference(parts[name])):
                raise UnsupportedMedia("Satellite images are read as GeoTIFF, PNG or JPEG; this is none of them.")
    for name in rasters_in(parts):
        with naming_part(name):
            if not (is_tiff(parts[name]) or is_reference(parts[name])):
                raise UnsupportedMedia("Heights and land cover are read as GeoTIFF; this is none.")


def rasters_in(parts: Parts) -> list[str]:
    """Return the names of the rasters among the parts of a body."""
    return [name for name in RASTERS if name in parts]


def is_scene(parts: Parts) -> bool:
    """Return whether a body of parts that `check_formats` accepts has one that is TIFF, or tiles, polygons, rasters."""
    images = images_of(parts)
    if (
        rasters_in(parts)
        or DISTRICTS in parts
        or FOOTPRINTS in parts
        or any(len(tiles_of(parts, name)) > 1 for name in images)
    ):
        return True
    return any(len(parts[name]) and not is_picture(parts[name]) for name in images)


async def open_referred(job: Job[Parts], caller: Caller) -> tuple[Job[Parts], Referred]:
    """Return the files that parts name in the place of their content; and the job, in threads of its own where some do.

    Raises:
        Forbidden: the caller's key does not open stores, which the scope ``jobs`` does.
        MaskgateError: as `read_references` and `open_references`, pointing at the part.
    """
    stores, found = job.services.stores, dict[str, Sequence[StoredFile]]()
    allowance = Allowance(job.services.settings.limits.body_bytes, job.reservation.grow)
    for image in [*images_of(job.body), *rasters_in(job.body)]:
        for name in tiles_of(job.body, image):
            if not is_reference(job.body[name]):
                continue
            check_scope(caller, "jobs")
            with naming_part(name):
                references = await job.run("decode", read_references, bytes(job.body[name]), stores.allowed)
                found[name] = await open_references(stores, references, allowance, image)
    return (replace(job, services=replace(job.services, workers=stores.workers)) if found else job), found


async def decode_pair(job: Job[Parts], model: Model) -> Pair:
    """Return the images; what their headers show to be unservable is refused before a pixel is decoded.

    Raises:
        PairUnobserved: next to nothing is seen in all of them.
        MaskgateError: as `probe_parts`, `check_pair` and `decode_part`.
    """
    names = images_of(job.body)
    infos = await probe_parts(job, names)
    pre, later = infos[0], infos[1:]
    said = [check_pair(model, pre.size, info.size, name) for name, info in zip(names[1:], later, strict=True)]
    job.reservation.expect(sum(info.pixels for info in infos))
    job.reservation.grow(pre.pixels * (_BYTES_PER_PRE_PIXEL + _BYTES_PER_POST_PIXEL * (len(later) - 1)))
    job.reservation.grow(sum(info.pixels for info in later) * _BYTES_PER_POST_PIXEL)
    images = await _decode_all(job, names, infos)
    read = [notice for name, image in zip(names, images, strict=True) for notice in said_of(name, image.notices)]
    notices = tuple(dict.fromkeys([*read, *(notice for notices in said for notice in notices)]))
    if all(image.observed is None for image in images):
        first, *between, last = (image.pixels for image in images)
        return Pair(first, last, tuple(between), notices)
    job.reservation.grow(len(images) * pre.pixels * _BYTES_PER_HIDDEN_PIXEL)
    first, *between, last, observed = await job.run("decode", _seen_by_all, images, pre.size)
    hidden = await job.run("decode", _said_of_hidden, observed)
    return Pair(first, last, tuple(between), (*notices, hidden), observed)


async def _decode_all(job: Job[Parts], names: Sequence[str], infos: Sequence[ImageInfo]) -> list[DecodedImage]:
    """Return images: decoded side by side where threads are free, else one after the other in one thread.

    Where all are taken, further hand-overs to threads would only make every request wait longer for the event loop.
    """
    if job.services.workers.free >= len(names):
        return await asyncio.gather(*(decode_part(job, name, info) for name, info in zip(names, infos, strict=True)))

    def decode_named(name: str, info: ImageInfo) -> DecodedImage:
        with naming_part(name):
            return decode(job.body[name], info)

    with job.reservation.holding(max(info.working_bytes for info in infos)):
        images = await job.run("decode", lambda: list(map(decode_named, names, infos)))
    job.services.telemetry.images_decoded.inc(len(images))
    return images


def _seen_by_all(images: Sequence[DecodedImage], size: tuple[int, int]) -> list[NDArray[Any]]:
    """Return images (H, W, 3) of `size` (W, H), black where they are transparent, and where none is, bool (H, W).

    Raises:
        PairUnobserved: they show next to nothing of the same ground.
    """
    pictures = [resized_picture(Picture.of(image), size) for image in images]
    observed = np.logical_and.reduce([picture.observed for picture in pictures])
    if (share := observed.mean()) < LEAST_OBSERVED:
        raise PairUnobserved(
            f"Of the ground that the images share {share:.2%} is seen in all of them; {LEAST_OBSERVED:.0%} are needed. "
            "The rest is transparent in one.",
            pointer="/post",
        )
    return [*(picture.pixels for picture in pictures), observed]


def resized_picture(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture on the grid of another of `size` (width, height); where it shows nothing may grow a little."""
    if (picture.info.width, picture.info.height) == size:
        return picture
    pixels = to_pre_grid(picture.pixels, size)
    shown = to_pre_grid(np.dstack([picture.observed.view(np.uint8) * np.uint8(255)] * 3), size)[..., 0]
    return Picture(pixels, np.asarray(shown == 255), picture.notices)


def _said_of_hidden(observed: Bool) -> str:
    return f"{1 - observed.mean():.1%} of the pair is transparent in one of the images and not assessed"


def said_of(name: str, notices: tuple[str, ...], kind: str = "image") -> list[str]:
    """Return notices of one image, or something else, as those of a pair."""
    return [f"{name} {kind}: {notice}" for notice in notices]


def digest_of_pair(job: Job[Parts], referred: Referred = MappingProxyType({})) -> str:
    """Return the SHA-256 over those of all images as they were sent, in the order of their dates, and then of rasters.

    What lies elsewhere is not read to the end: of it address, length and version count.
    """
    names = [part for name in images_of(job.body) for part in tiles_of(job.body, name)] + rasters_in(job.body)
    sent = [content for name in names for content in _contents(job, referred, name)]
    parts = b"".join(hashlib.sha256(content).digest() for content in sent)
    return f"sha256:{hashlib.sha256(parts).hexdigest()}"


def _contents(job: Job[Parts], referred: Referred, name: str) -> list[bytes | memoryview]:
    return [file.identity for file in referred[name]] if name in referred else [job.body[name]]
