from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GeometryUnsuitable, SeriesDuplicate, SeriesGap, SeriesMixed
from gateway.media.medical.slice_geometry import Plane, is_axial, spatial_order, stack_affine, stack_spacing

STRAIGHT = (1, 0, 0, 0, 1, 0)


def turned(a: float, b: float, c: float) -> np.ndarray:
    """Return six direction cosines, turned by three angles."""
    x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    turn = x @ y @ z
    return np.concatenate([turn[:, 0], turn[:, 1]])


def plane(height: float) -> Plane:
    return Plane.of((3, 4, height), STRAIGHT, (0.7, 0.6), 2.0)


@given(st.tuples(*[st.floats(-3, 3)] * 3), st.permutations(range(6)), st.floats(0.3, 10))
def test_order_is_that_along_the_normal_at_any_angle(
    angles: tuple[float, float, float], shuffled: list[int], step: float
) -> None:
    cosines = turned(*angles)
    normal = np.cross(cosines[:3], cosines[3:])
    planes = [Plane.of(np.array([9, -8, 7]) + step * k * normal, cosines, (0.7, 0.6), None) for k in shuffled]
    order = spatial_order(planes)
    assert [shuffled[number] for number in order] == list(range(6))
    ordered = [planes[number] for number in order]
    assert stack_spacing(ordered).slices == pytest.approx(step)
    affine = stack_affine(ordered)
    assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx([0.6, 0.7, step])
    assert affine[:3, 3] == pytest.approx([-9, 8, 7])


def test_the_affine_of_a_straight_stack_by_hand() -> None:
    affine = stack_affine([plane(10), plane(12.5)])
    # A step to the next column goes left: against NIfTI's x; to the next row back: against its y.
    assert (affine @ [1, 0, 0, 1]).tolist() == pytest.approx([-3.6, -4, 10, 1])
    assert (affine @ [0, 1, 0, 1]).tolist() == pytest.approx([-3, -4.7, 10, 1])
    assert (affine @ [0, 0, 1, 1]).tolist() == pytest.approx([-3, -4, 12.5, 1])


def test_a_tilted_gantry_shears_the_affine_and_not_the_spacing() -> None:
    planes = [Plane.of((0, 0.5 * k, 2 * k), STRAIGHT, (1, 1), None) for k in range(3)]
    assert spatial_order(planes) == [0, 1, 2]
    assert stack_spacing(planes).slices == pytest.approx(2)
    assert stack_affine(planes)[:3, 2].tolist() == pytest.approx([0, -0.5, 2])


def test_one_plane_is_as_far_from_the_next_as_it_is_thick() -> None:
    assert spatial_order([plane(1)]) == [0]
    assert stack_spacing([plane(1)]).slices == 2
    assert stack_spacing([Plane.of((0, 0, 0), STRAIGHT, (1, 1), None)]).slices is None


@pytest.mark.parametrize(
    ("heights", "error"),
    [
        ((0, 1, 2, 2), SeriesDuplicate),
        ((0, 1, 2, 2.005), SeriesDuplicate),
        ((0, 1, 2, 4), SeriesGap),
        ((0, 1, 2, 3.2), SeriesGap),
        ((0, 1, 2, 3, 10), SeriesGap),
    ],
)
def test_uneven_steps_are_refused(heights: tuple[float, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        spatial_order([plane(height) for height in heights])


def test_planes_that_are_not_parallel_are_mixed() -> None:
    with pytest.raises(SeriesMixed):
        spatial_order([plane(0), Plane.of((0, 0, 1), turned(0.01, 0, 0), (0.7, 0.6), None)])


@pytest.mark.parametrize(
    ("position", "cosines", "spacing"),
    [
        ((0, 0), STRAIGHT, (1, 1)),
        ((0, 0, 0), STRAIGHT[:5], (1, 1)),
        ((0, 0, 0), STRAIGHT, (1,)),
        ((0, 0, math.nan), STRAIGHT, (1, 1)),
        ((0, 0, 0), STRAIGHT, (1, -1)),
        ((0, 0, 0), STRAIGHT, (1, math.inf)),
        ((0, 0, 0), (1, 0, 0, 1, 0, 0), (1, 1)),
        ((0, 0, 0), (2, 0, 0, 0, 1, 0), (1, 1)),
        ((0, 0, 0), (0,) * 6, (1, 1)),
    ],
)
def test_numbers_that_are_no_plane_are_refused(
    position: tuple[float, ...], cosines: tuple[float, ...], spacing: tuple[float, ...]
) -> None:
    with pytest.raises(GeometryUnsuitable):
        Plane.of(position, cosines, spacing, None)


def test_axial_is_what_is_nearer_to_it_than_to_the_others() -> None:
    assert is_axial(plane(0).normal)
    assert is_axial(-plane(0).normal)
    assert not is_axial(Plane.of((0, 0, 0), (0, 1, 0, 0, 0, -1), (1, 1), None).normal)
