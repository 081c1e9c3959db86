"""Where slices lie in the patient: order, spacing, gaps, and the affine of the whole.

Coordinates are DICOM's: mm, x to the patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1). NIfTI's x and
y point the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Self

import numpy as np
import numpy.typing as npt

from gateway.errors import GeometryUnsuitable, SeriesDuplicate, SeriesGap, SeriesMixed
from gateway.media.medical.slices import Spacing

Float64 = npt.NDArray[np.float64]
Vector = tuple[float, float, float]
Numbers = Sequence[float] | Float64

# Cosines are written with as few as three digits.
_UNIT_TOLERANCE = 0.01
_PARALLEL_TOLERANCE = 1e-3
_SAME_SPACING = 1e-3
_SAME_PLACE_MM = 0.01
# Positions are rounded too; a missing slice doubles the step.
_STEP_TOLERANCE = 0.1

_WRONG_NUMBER = "The position or orientation of a slice has the wrong number of values."
_NOT_ONE = "The position, orientation or pixel spacing of a slice is not one."

# In mm, of a single slice that does not say: files have to hold a number.
UNKNOWN_THICKNESS = 1.0


@dataclass(frozen=True)
class Plane:
    """Where one slice lies.

    Attributes:
        origin: centre of its first pixel, in mm.
        along_row: unit vector in which columns count up.
        along_column: unit vector in which rows count up.
        row_spacing: mm from one row to the next.
        column_spacing: mm from one column to the next.
        thickness: of the slice, in mm; None: not known.
    """

    origin: Vector = field(repr=False)
    along_row: Vector
    along_column: Vector
    row_spacing: float
    column_spacing: float
    thickness: float | None

    @classmethod
    def of(cls, position: Numbers, cosines: Numbers, spacing: Sequence[float], thickness: float | None) -> Self:
        """Make a plane of DICOM's attributes: position, six direction cosines, (row, column) spacing.

        Raises:
            GeometryUnsuitable: the numbers do not describe a plane.
        """
        origin, directions = np.array(position, np.float64), np.array(cosines, np.float64)
        if origin.shape != (3,) or directions.shape != (6,) or len(spacing) != 2:
            raise GeometryUnsuitable(_WRONG_NUMBER)
        rows, columns = directions[:3], directions[3:]
        lengths = np.linalg.norm(rows), np.linalg.norm(columns)
        sound = np.isfinite([*origin, *directions, *spacing]).all() and np.allclose(lengths, 1, atol=_UNIT_TOLERANCE)
        if not sound or abs(rows @ columns) > _UNIT_TOLERANCE or min(spacing) <= 0:
            raise GeometryUnsuitable(_NOT_ONE)
        return cls(
            _vector(origin),
            _vector(rows / lengths[0]),
            _vector(columns / lengths[1]),
            float(spacing[0]),
            float(spacing[1]),
            thickness if thickness and thickness > 0 else None,
        )

    def moved(self, position: Numbers) -> Self:
        """Return a plane that lies elsewhere and is like this one in all else; `position` is DICOM's attribute.

        Raises:
            GeometryUnsuitable: it is no place.
        """
        if len(position) != 3:
            raise GeometryUnsuitable(_WRONG_NUMBER)
        x, y, z = map(float, position)
        if not (isfinite(x) and isfinite(y) and isfinite(z)):
            raise GeometryUnsuitable(_NOT_ONE)
        return replace(self, origin=(x, y, z))

    @property
    def normal(self) -> Float64:
        """Unit vector across the slice."""
        across = np.cross(self.along_row, self.along_column)
        return np.asarray(across / np.linalg.norm(across), np.float64)


def spatial_order(planes: Sequence[Plane]) -> list[int]:
    """Return the numbers of the planes in order of their position along the normal.

    Raises:
        SeriesMixed: they are not parallel, or of several pixel spacings.
        SeriesDuplicate: two lie in one place.
        SeriesGap: they are not evenly spaced.
    """
    first = planes[0]
    directions = np.array([(*plane.along_row, *plane.along_column) for plane in planes])
    if np.abs(directions - directions[0]).max() > _PARALLEL_TOLERANCE:
        raise SeriesMixed("The slices are of several orientations.")
    spacings = np.array([(plane.row_spacing, plane.column_spacing) for plane in planes])
    if not np.allclose(spacings, (first.row_spacing, first.column_spacing), rtol=_SAME_SPACING):
        raise SeriesMixed("The slices are of several pixel spacings.")
    heights = np.array([plane.origin for plane in planes]) @ first.normal
    order = [int(number) for number in np.argsort(heights, kind="stable")]
    _check_steps(np.diff(heights[order]))
    return order


def stack_spacing(planes: Sequence[Plane]) -> Spacing:
    """Return the spacing of planes in spatial order; of one alone the thickness counts as the distance."""
    first = planes[0]
    distance = first.thickness
    if len(planes) > 1:
        distance = float((np.array(planes[-1].origin) - planes[0].origin) @ first.normal) / (len(planes) - 1)
    return Spacing(first.row_spacing, first.column_spacing, distance)


def stack_affine(planes: Sequence[Plane]) -> Float64:
    """Return NIfTI's affine, 4×4 float64, of the array [column, row, slice] of planes in spatial order.

    The step from slice to slice is the true one, aslant where the gantry was tilted.
    """
    first, last = planes[0], planes[-1]
    if len(planes) > 1:
        step = (np.array(last.origin) - first.origin) / (len(planes) - 1)
    else:
        step = first.normal * (first.thickness or UNKNOWN_THICKNESS)
    affine = np.eye(4)
    affine[:3, 0] = np.multiply(first.along_row, first.column_spacing)
    affine[:3, 1] = np.multiply(first.along_column, first.row_spacing)
    affine[:3, 2] = step
    affine[:3, 3] = first.origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def moves_within_slices(planes: Sequence[Plane]) -> bool:
    """Return whether the slices of a stack are shifted against each other, as where the centre of reconstruction moved.

    Their origins then lie on no straight line, and no affine describes the stack.
    """
    origins = np.array([plane.origin for plane in planes])
    if len(planes) < 3:
        return False
    share = np.linspace(0, 1, len(planes))[:, None]
    astray = np.linalg.norm(origins - (origins[0] + share * (origins[-1] - origins[0])), axis=1)
    # Rounded positions and uneven steps within their tolerance are no movement.
    step = np.linalg.norm(origins[-1] - origins[0]) / (len(planes) - 1)
    return bool(astray.max() > max(0.5 * min(planes[0].row_spacing, planes[0].column_spacing), _STEP_TOLERANCE * step))


def tilt(planes: Sequence[Plane]) -> float:
    """Return by how many degrees the line through the slices is aslant of their normal: a tilted gantry's, 0 of one."""
    if len(planes) < 2:
        return 0.0
    step = np.array(planes[-1].origin) - planes[0].origin
    cosine = abs(float(step @ planes[0].normal)) / max(float(np.linalg.norm(step)), 1e-9)
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def is_axial(normal: Float64) -> bool:
    """Return whether slices across `normal` are rather axial than sagittal or coronal."""
    return bool(np.argmax(np.abs(normal)) == 2)


def _check_steps(steps: Float64) -> None:
    """Refuse distances between neighbours, in mm, that are none or differ."""
    if not len(steps):
        return
    number = int(np.argmin(steps))
    if steps[number] < _SAME_PLACE_MM:
        raise SeriesDuplicate(f"Slices {number + 1} and {number + 2}, counted in space, lie in one place.")
    usual = float(np.median(steps))
    uneven = np.abs(steps - usual) > max(_STEP_TOLERANCE * usual, _SAME_PLACE_MM)
    if uneven.any():
        number = int(np.argmax(uneven))
        raise SeriesGap(
            f"Slices {number + 1} and {number + 2}, counted in space, are {steps[number]:.2f} mm apart, "
            f"where {usual:.2f} mm is usual: a slice is missing or does not belong."
        )


def _vector(values: Float64) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
