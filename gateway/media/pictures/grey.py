"""PNG and JPEG pictures of what is grey, told from photographs in colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.errors import ColourUnsuitable
from gateway.media.pictures.images import DecodedImage

UInt8 = npt.NDArray[np.uint8]

# What JPEG's chroma makes of grey, and how much of a picture arrows and letters in colour may cover.
_GREY_TOLERANCE = 24
_LARGEST_COLOURED_SHARE = 0.02


def grey_values(image: DecodedImage, wanted: str) -> UInt8:
    """Return the grey values of a decoded PNG or JPEG, uint8 (height, width).

    Args:
        image: the picture; letters and arrows in colour do not matter.
        wanted: what it should show, for the caller: "a CT slice".

    Raises:
        ColourUnsuitable: a colour picture.
    """
    lowest, highest = image.pixels.min(axis=2), image.pixels.max(axis=2)
    if np.count_nonzero(highest - lowest > _GREY_TOLERANCE) > _LARGEST_COLOURED_SHARE * lowest.size:
        raise ColourUnsuitable(f"The picture is of colour; {wanted} is grey.")
    return np.ascontiguousarray(image.pixels[:, :, 1])
