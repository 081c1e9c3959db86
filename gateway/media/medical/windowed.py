"""CT slices as pictures: of 8 bits, windowed before they came, as in the public sets; or of 16, values of any unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gateway.media.medical.slices import HuSlice, SlicePlace, Spacing, hounsfield
from gateway.media.pictures.grey import grey_values
from gateway.media.pictures.images import DecodedImage, DeepImage
from gateway.vision.windowing import Window, from_windowed

UInt8 = npt.NDArray[np.uint8]


_UNPLACED = SlicePlace(None, None)


@dataclass(frozen=True)
class ValuesSlice:
    """One slice whose grey values of 16 bits stand for Hounsfield units by a scale and an offset.

    Attributes:
        values: uint16, (rows, columns).
        scale: Hounsfield units per value.
        offset: Hounsfield units of the value 0.
        notices: what the caller should know.
    """

    values: npt.NDArray[np.uint16] = field(repr=False)
    scale: float
    offset: float
    notices: tuple[str, ...]

    spacing: ClassVar[None] = None
    held_bytes: ClassVar[int] = 0
    states_units: ClassVar[bool] = False
    places: ClassVar[tuple[SlicePlace, ...]] = (_UNPLACED,)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, rows, columns)."""
        rows, columns = self.values.shape
        return 1, rows, columns

    def slices(self) -> Iterator[HuSlice]:
        """Yield the one slice."""
        yield hounsfield(self.values * np.float64(self.scale) + self.offset)


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

    states_units: ClassVar[bool] = True
    held_bytes: ClassVar[int] = 0
    places: ClassVar[tuple[SlicePlace, ...]] = (_UNPLACED,)

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


def values_slice(image: DeepImage, scale: float, offset: float) -> ValuesSlice:
    """Return a decoded grey PNG of 16 bits as a slice whose Hounsfield units are value · scale + offset."""
    notice = f"16-bit picture: values taken times {scale:g} plus {offset:g} as Hounsfield units"
    return ValuesSlice(image.values, scale, offset, (*image.notices, notice))


def windowed_slice(image: DecodedImage, window: Window) -> WindowedSlice:
    """Return a decoded PNG or JPEG as a slice that was seen through `window`.

    Raises:
        ColourUnsuitable: a colour picture.
    """
    grey = grey_values(image, "a CT slice")
    notice = f"8-bit picture: taken as windowed from {window.low:.0f} to {window.high:.0f} HU"
    return WindowedSlice(grey, window, (*image.notices, notice))
