"""What every CT upload becomes, whatever file it came in: slices in order, decoded one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.errors import ImageTooLarge, ImageUnsuitable

Int16 = npt.NDArray[np.int16]

HU_LOWEST, HU_HIGHEST = -32768, 32767

# What stands for pixels that scanners did not measure, outside their field of view; black in any window.
PADDING_HU = -2000


@dataclass(frozen=True)
class VolumeLimits:
    """What sizes of slices and volumes are served.

    Attributes:
        max_side: the longest side of a slice, in pixels.
        min_side: the shortest.
        max_slices: the most slices of a volume.
    """

    max_side: int
    min_side: int
    max_slices: int

    def check(self, rows: int, columns: int, slices: int) -> None:
        """Refuse a volume of such a size, if it is not served.

        Raises:
            ImageTooLarge: too long a side, or too many slices.
            ImageUnsuitable: too short a side.
        """
        if max(rows, columns) > self.max_side:
            raise ImageTooLarge(
                f"The slices are {columns}×{rows} pixels; a side may have {self.max_side:,}.", limit=self.max_side
            )
        if min(rows, columns) < self.min_side:
            raise ImageUnsuitable(f"The slices are {columns}×{rows} pixels; a side must have {self.min_side}.")
        if slices > self.max_slices:
            raise ImageTooLarge(
                f"The volume has {slices} slices; {self.max_slices:,} are served.", limit=self.max_slices
            )


@dataclass(frozen=True)
class Spacing:
    """Distances between the centres of neighbouring voxels, in mm.

    Attributes:
        rows: from one row to the next.
        columns: from one column to the next.
        slices: from one slice to the next, along their normal; of a single slice its thickness; None: not known.
    """

    rows: float
    columns: float
    slices: float | None


@dataclass(frozen=True)
class SlicePlace:
    """Which slice of its examination one is.

    Attributes:
        instance: SOPInstanceUID of its DICOM file; None: it came in none.
        position: where its first pixel lies, in mm, x to the patient's left, y to the back, z to the head; None: not
            known.
    """

    instance: str | None
    position: tuple[float, float, float] | None


@dataclass(frozen=True)
class HuSlice:
    """One slice, decoded.

    Attributes:
        pixels: int16, (rows, columns), Hounsfield units, C-contiguous or a transposed view.
        clipped: how many pixels lay beyond int16 and were set to its end.
        missing: how many were not a number and are padding.
    """

    pixels: Int16 = field(repr=False)
    clipped: int
    missing: int = 0


class CtVolume(Protocol):
    """Slices of one examination, in spatial or array order."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        ...

    @property
    def spacing(self) -> Spacing | None:
        """Distances between voxels; None where the file does not say, as a PNG does not."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """What the caller should know of how the file was taken."""
        ...

    @property
    def states_units(self) -> bool:
        """Whether the file says that its values are Hounsfield units."""
        ...

    @property
    def held_bytes(self) -> int:
        """Bytes that are held beside the upload while the slices are read."""
        ...

    @property
    def places(self) -> tuple[SlicePlace, ...]:
        """Which slice each one is."""
        ...

    def slices(self) -> Iterator[HuSlice]:
        """Yield each slice once, decoded when it is asked for; at any time no more than one is held here.

        Raises:
            ImageUnreadable: the data of a slice are damaged, which only its decoder can see.
            ImageUnsuitable: a slice holds what is infinite.
        """
        ...


def hounsfield(values: npt.NDArray[np.float64] | npt.NDArray[np.int32]) -> HuSlice:
    """Return values, finite ones in Hounsfield units, rounded and clipped to int16; `values` are written over."""
    clipped = int(np.count_nonzero((values < HU_LOWEST) | (values > HU_HIGHEST)))
    if clipped:
        np.clip(values, HU_LOWEST, HU_HIGHEST, out=values)
    if values.dtype.kind == "f":
        np.rint(values, out=values)
    return HuSlice(values.astype(np.int16), clipped)
