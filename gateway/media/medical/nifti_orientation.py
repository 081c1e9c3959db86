"""How the axes of a NIfTI volume lie in the patient, and its slices as DICOM would show them.

Networks learnt from axial slices as radiologists see them: columns count to the patient's left, rows to the back. Any
order and direction of the axes brings a volume's slices to that.

NIfTI's x points to the patient's right, y to the front, z to the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gateway.media.medical.slices import Spacing

Float64 = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Orientation:
    """Which axes of an array are the slices, rows and columns of axial slices, and which of them run the other way.

    Attributes:
        axes: the axis of slices, of rows and of columns.
        flip_rows: rows count to the front in the array.
        flip_columns: columns count to the patient's right in the array.
    """

    axes: tuple[int, int, int]
    flip_rows: bool
    flip_columns: bool

    @classmethod
    def of(cls, affine: Float64) -> Self:
        """Return the orientation of an array of an invertible `affine`, 4×4; an axis is what it mostly points along."""
        directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        towards: dict[int, int] = {}
        remaining = np.abs(directions)
        for _ in range(3):
            world, axis = (int(index) for index in np.unravel_index(np.argmax(remaining), (3, 3)))
            towards[world] = axis
            remaining[world], remaining[:, axis] = -1, -1
        columns, rows, slices = towards[0], towards[1], towards[2]
        return cls((slices, rows, columns), bool(directions[1, rows] > 0), bool(directions[0, columns] > 0))

    @property
    def streams(self) -> bool:
        """Whether slices lie along the array's last axis, so that they come one after the other in the file."""
        return self.axes[0] == 2

    def shape(self, dimensions: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return (slices, rows, columns) of an array of such dimensions."""
        slices, rows, columns = (dimensions[axis] for axis in self.axes)
        return slices, rows, columns

    def spacing(self, affine: Float64) -> Spacing:
        """Return distances between neighbouring voxels; of slices along their normal, as an affine may be sheared."""
        _, rows, columns = (affine[:3, axis] for axis in self.axes)
        area = np.linalg.norm(np.cross(rows, columns))
        volume = abs(np.linalg.det(affine[:3, :3]))
        return Spacing(float(np.linalg.norm(rows)), float(np.linalg.norm(columns)), float(volume / area))

    def position(self, affine: Float64, number: int, dimensions: tuple[int, int, int]) -> tuple[float, float, float]:
        """Return where the first pixel of slice `number` lies, DICOM's way round: mm, x to the left, y to the back."""
        slices, rows, columns = self.axes
        index = np.zeros(4)
        index[3], index[slices] = 1, number
        index[rows] = dimensions[rows] - 1 if self.flip_rows else 0
        index[columns] = dimensions[columns] - 1 if self.flip_columns else 0
        x, y, z, _ = (affine @ index).tolist()
        return -x, -y, z

    def slices_affine(self, affine: Float64, dimensions: tuple[int, int, int]) -> Float64:
        """Return the affine of the slices, 4×4 float64: (column, row, slice, 1) to mm, DICOM's way round."""
        slices, rows, columns = self.axes
        steps = affine[:3, [columns, rows, slices]] * (-1 if self.flip_columns else 1, -1 if self.flip_rows else 1, 1)
        of_slices = np.eye(4)
        of_slices[:3, :3] = steps * np.array([[-1.0], [-1.0], [1.0]])
        of_slices[:3, 3] = self.position(affine, 0, dimensions)
        return of_slices

    def plane(self, of_array: Array) -> Array:
        """Return a plane of the array, its two other axes in their order, as a slice (rows, columns): a view."""
        return self._flipped(of_array if self.axes[1] < self.axes[2] else of_array.T)

    def back(self, of_slices: Array) -> Array:
        """Return a slice (rows, columns) as the plane of the array that it came from: a view."""
        flipped = self._flipped(of_slices)
        return flipped if self.axes[1] < self.axes[2] else flipped.T

    def _flipped(self, of_slices: Array) -> Array:
        rows = slice(None, None, -1) if self.flip_rows else slice(None)
        columns = slice(None, None, -1) if self.flip_columns else slice(None)
        return of_slices[rows, columns]
