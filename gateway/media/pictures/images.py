"""Uploaded PNG and JPEG images: first judged by their header, then decoded to RGB."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gateway.errors import ImageTooLarge, ImageUnreadable, ImageUnsuitable, UnsupportedMedia
from gateway.media.pictures.headers import JPEG_SIGNATURE, PNG_SIGNATURE, ImageInfo, read_jpeg, read_png
from gateway.media.pictures.png import decode_plain
from gateway.media.pictures.transparency import shown_by

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

_WHOLE, _JPEG_BITS = 16, 8
# Exif orientation → cv2.flip code, for 5–8 after a transposition.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}

_FEWEST = 8


@dataclass(frozen=True)
class ImageLimits:
    """What sizes are served, in pixels.

    Attributes:
        max_pixels: the most pixels in one image.
        max_side: the longest side.
        min_side: the shortest side.
    """

    max_pixels: int
    max_side: int
    min_side: int

    def check(self, width: int, height: int, what: str = "The image") -> None:
        """Refuse an image of such a size, if it is not served; `what` of it is said to have that.

        Raises:
            ImageTooLarge: more pixels or a longer side than are served; the error carries the limit.
            ImageUnsuitable: too short a side.
        """
        size = f"{width}×{height}"
        if max(width, height) > self.max_side:
            raise ImageTooLarge(f"{what} is {size} pixels; a side may have {self.max_side:,}.", limit=self.max_side)
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                f"{what} is {size} pixels; {self.max_pixels:,} in all are served.", limit=self.max_pixels
            )
        if min(width, height) < self.min_side:
            raise ImageUnsuitable(f"{what} is {size} pixels; a side must have at least {self.min_side}.")


@dataclass(frozen=True)
class DecodedImage:
    """A picture as the models take it.

    Attributes:
        pixels: uint8, (height, width, 3), RGB, C-contiguous, upright.
        notices: what the caller should know was changed in decoding.
        observed: bool, (height, width), where it is not transparent; None: everywhere.
    """

    pixels: UInt8
    notices: tuple[str, ...]
    observed: Bool | None = None


@dataclass(frozen=True)
class DeepImage:
    """A grey picture with all its bits.

    Attributes:
        values: uint16, (height, width), C-contiguous, upright.
        notices: what the caller should know was changed in decoding.
    """

    values: npt.NDArray[np.uint16]
    notices: tuple[str, ...]


def is_picture(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a PNG or JPEG file."""
    return any(bytes(data[: len(signature)]) == signature for signature in (PNG_SIGNATURE, JPEG_SIGNATURE))


def probe(data: bytes | memoryview, limits: ImageLimits) -> ImageInfo:
    """Judge an upload by its header alone; no pixel is decoded and nothing of the image's size is allocated.

    Raises:
        UnsupportedMedia: neither PNG nor JPEG.
        ImageUnreadable: empty, or the header is broken, or the file is too short for what it declares.
        ImageTooLarge: more pixels or a longer side than `limits` has, which the error carries.
        ImageUnsuitable: animated, CMYK, too small, or JPEG of 12 bits or without loss.
    """
    view = memoryview(data)
    if not view:
        raise ImageUnreadable("The image is empty.")
    if view[: len(PNG_SIGNATURE)] == PNG_SIGNATURE:
        info = read_png(view)
    elif view[: len(JPEG_SIGNATURE)] == JPEG_SIGNATURE:
        info = read_jpeg(view)
    else:
        raise UnsupportedMedia("Images are read as PNG or JPEG; this is neither.")
    limits.check(*info.size)
    if info.pixels > info.most_pixels:
        raise ImageUnreadable(f"The {info.format.upper()} image holds fewer pixels than its header declares.")
    if info.animated:
        raise ImageUnsuitable("The image is animated; a still picture is needed.")
    if info.colour == "cmyk":
        raise ImageUnsuitable("The image is CMYK, made for print; RGB or grey is needed.")
    if info.format == "jpeg" and info.lossless:
        raise ImageUnsuitable("The JPEG image is compressed without loss, which is not decoded here; store it as PNG.")
    if info.format == "jpeg" and info.depth != _JPEG_BITS:
        raise ImageUnsuitable(
            f"The JPEG image has {info.depth} bits per sample; 8 are decoded here. Store it as PNG of 16 bits."
        )
    return info


def decode(data: bytes | memoryview, info: ImageInfo) -> DecodedImage:
    """Decode an upload to upright RGB.

    Grey is replicated, palettes are expanded, alpha is dropped (not blended: a photograph may be whole under it) and
    what it hides is told, 16-bit samples are scaled to 8 by the bits that they hold (see `held_bits`). Colour
    profiles and gamma are left alone, as in the training data.

    Args:
        data: the bytes that `probe` judged.
        info: what it returned.

    Raises:
        ImageUnreadable: the data is cut short, damaged, or not what its header declares.
        MemoryError: there is too little memory for it now.
    """
    plain = decode_plain(data) if info.format == "png" else None
    decoded = _decode_with(data, info, _AS_IT_IS if info.alpha else _COLOUR) if plain is None else plain
    if decoded is None or (decoded.shape[1], decoded.shape[0]) != info.stored_size:
        raise ImageUnreadable(
            f"The {info.format.upper()} image is cut short, damaged, or not what its header declares."
        )
    observed, notices = None, []
    if info.alpha:
        observed = _shown(decoded, info)
        decoded = _without_alpha(decoded, bgr=plain is None)
        notices.append("alpha channel dropped" if observed is None else _hides(observed))
    if decoded.dtype == np.uint16:
        bits = held_bits(np.asarray(decoded, np.uint16))
        decoded = to_eight_bits(np.asarray(decoded, np.uint16), bits)
        held = f"16-bit samples that hold {bits} bits" if bits < _WHOLE else "16-bit samples"
        notices.append(f"{held} reduced to 8 bits")
    pixels = np.asarray(_upright(decoded, info.orientation), np.uint8)
    if observed is not None:
        observed = np.asarray(_upright(observed.view(np.uint8), info.orientation), np.bool_)
    return DecodedImage(pixels, tuple(notices), observed)


def decode_deep(data: bytes | memoryview, info: ImageInfo) -> DeepImage:
    """Decode a grey PNG of 16 bits to upright values.

    Args:
        data: the bytes that `probe` judged.
        info: what it returned; grey, of 16 bits.

    Raises:
        ImageUnreadable: the data is cut short, damaged, or not what its header declares.
        MemoryError: there is too little memory for it now.
    """
    decoded = _decode_with(data, info, _AS_IT_IS)
    if decoded is None or (decoded.shape[1], decoded.shape[0]) != info.stored_size or decoded.dtype != np.uint16:
        raise ImageUnreadable("The PNG image is cut short, damaged, or not what its header declares.")
    values = decoded if decoded.ndim == 2 else decoded[:, :, 0]
    notices = ("alpha channel dropped",) if info.alpha else ()
    return DeepImage(np.ascontiguousarray(_upright(values, info.orientation), np.uint16), notices)


# The orientation is applied later, from the one place it was read: OpenCV would not see every PNG's.
_COLOUR = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
_AS_IT_IS = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
_NO_MEMORY = -4  # OpenCV's `StsNoMem`
# What OpenCV makes of a pixel at most: three samples of 16 bits.
_DECODED_BYTES = 6


def _decode_with(data: bytes | memoryview, info: ImageInfo, flags: int) -> cv2.typing.MatLike | None:
    """Return what OpenCV makes of an image; None where it refuses it.

    It refuses a sound image too, in the same way, where it is given no memory for it. So what it would take is asked
    for afterwards: where that is there, the image is tried once more, since others may have given back theirs.

    Raises:
        MemoryError: there is too little memory for it now.
    """
    encoded = np.frombuffer(data, np.uint8)
    try:
        decoded = cv2.imdecode(encoded, flags)
        if decoded is None:
            np.empty(info.pixels * _DECODED_BYTES + info.working_bytes, np.uint8)
            decoded = cv2.imdecode(encoded, flags)
    except cv2.error as error:
        if error.code == _NO_MEMORY:
            raise MemoryError("OpenCV was given no memory") from error
        return None  # more than 2³⁰ pixels, where the limits set here allow them
    return decoded


def _upright(image: cv2.typing.MatLike, orientation: int) -> cv2.typing.MatLike:
    """Undo an Exif orientation; 1 returns the image itself."""
    if orientation >= 5:
        image = cv2.transpose(image)
    return cv2.flip(image, _FLIPS[orientation]) if orientation in _FLIPS else image


def _shown(decoded: cv2.typing.MatLike, info: ImageInfo) -> Bool | None:
    """Return where a picture shows something that has alpha as its last sample, or is grey with one that is clear."""
    if info.clear_grey is not None and decoded.ndim == 2:
        # OpenCV spreads samples of fewer bits over all eight.
        scale = 1 if info.depth >= _FEWEST else 255 // ((1 << info.depth) - 1)
        observed = np.asarray(decoded != info.clear_grey * scale, np.bool_)
        return None if observed.all() else observed
    return shown_by(decoded[..., 3]) if decoded.ndim == 3 and decoded.shape[2] == 4 else None


def _without_alpha(decoded: cv2.typing.MatLike, *, bgr: bool) -> cv2.typing.MatLike:
    """Return RGB of what OpenCV decoded as it is, in its order of `bgr`, or of RGBA."""
    if decoded.ndim == 2:
        return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB)
    if decoded.shape[2] == 3:
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if bgr else decoded
    return cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGB if bgr else cv2.COLOR_RGBA2RGB)


def _hides(observed: Bool) -> str:
    return f"alpha channel dropped, which hides {1 - observed.mean():.1%} of the image"


def held_bits(samples: npt.NDArray[np.uint16]) -> int:
    """Return how many bits samples hold, 8 to 16.

    Cameras of 10, 11, 12 and 14 bits store them in files of 16: the brightest sample tells.
    """
    return max(int(samples.max()).bit_length(), _FEWEST)


def to_eight_bits(samples: npt.NDArray[np.uint16], bits: int) -> UInt8:
    """Return samples of so many bits, scaled so that the largest becomes 255 and rounded."""
    return np.asarray(cv2.convertScaleAbs(samples, alpha=255 / ((1 << bits) - 1)), np.uint8)
