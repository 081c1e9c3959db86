"""CT slices as 8-bit pictures that were windowed before they came, such as those of the public sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gateway.media.medical.slices import HuSlice, Spacing
from gateway.media.pictures.grey import grey_values
from gateway.media.pictures.images import DecodedImage
from gateway.vision.windowing import Window, from_windowed

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class WindowedSlice:
    """One slice whose grey values stand for Hounsfield units within a window.

    Attributes:
        grey: uint8, (rows, columns).
        window: what 0 and 255 stand for.
        notices: what the caller should know.
    """

    grey: UInt8 = field(repr=False)
    window: Window
    notices: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, rows, columns)."""
        rows, columns = self.grey.shape
        return 1, rows, columns

    @property
    def spacing(self) -> Spacing | None:
        """None: a picture does not say how large its pixels are."""
        return None

    def slices(self) -> Iterator[HuSlice]:
        """Yield the one slice."""
        yield HuSlice(from_windowed(self.grey, self.window), 0)


def windowed_slice(image: DecodedImage, window: Window) -> WindowedSlice:
    """Return a decoded PNG or JPEG as a slice that was seen through `window`.

    Raises:
        ColourUnsuitable: a colour picture.
    """
    grey = grey_values(image, "a CT slice")
    notice = f"8-bit picture: taken as windowed from {window.low:.0f} to {window.high:.0f} HU"
    return WindowedSlice(grey, window, (*image.notices, notice))
