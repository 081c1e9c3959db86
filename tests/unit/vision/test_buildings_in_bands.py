"""Buildings graded as a mask comes in bands get what they get in the whole mask."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.vision.buildings import GradeStream, find_buildings

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]

masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=5, max_side=20), elements=st.sampled_from([0, 0, 1])
).map(lambda small: np.kron(small, np.ones((4, 4), np.uint8)))


def scores_of(boxes: Int32) -> npt.NDArray[np.float32]:
    """Return scores that follow from the box alone."""
    rng = [np.random.default_rng(box).dirichlet(np.ones(4)) for box in boxes.tolist()]
    return np.array(rng, np.float32).reshape(-1, 4)


def streamed(mask: UInt8, sureness: UInt8, cuts: list[int], tallest: int = 1024) -> tuple[UInt8, UInt8, GradeStream]:
    stream = GradeStream(mask.shape[1], tallest)
    parts = []
    for start, stop in pairwise([0, *cuts, len(mask)]):
        parts.append(stream.paint(scores_of(stream.add(mask[start:stop], sureness[start:stop]))))
    if len(stream.held):
        parts.append(stream.paint(scores_of(stream.end())))
    labels, sure = (np.concatenate(some) for some in zip(*parts, strict=True))
    return labels, sure, stream


@given(data=st.data(), mask=masks, seed=st.integers(0, 99))
def test_bands_of_any_height_change_nothing(data: st.DataObject, mask: UInt8, seed: int) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(mask) - 1), max_size=6)))
    sureness = np.random.default_rng(seed).integers(0, 256, mask.shape, dtype=np.uint8)
    buildings = find_buildings(mask)
    expected = buildings.merged(scores_of(buildings.boxes), mask, sureness)
    labels, sure, stream = streamed(mask, sureness, cuts)
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_array_equal(sure, expected[1])
    assert stream.cut == 0


def test_rows_are_final_as_soon_as_all_in_them_is_graded() -> None:
    mask = np.zeros((30, 20), np.uint8)
    mask[10:20, 5:15] = 1
    stream = GradeStream(20)
    held = []
    for row in mask:
        stream.paint(scores_of(stream.add(row[None], row[None])))
        held.append(len(stream.held))
    assert held == [0] * 10 + list(range(1, 11)) + [0] * 10


def test_what_is_taller_than_any_building_is_graded_in_parts() -> None:
    mask = np.zeros((100, 20), np.uint8)
    mask[:, 5:15] = 1
    labels, _, stream = streamed(mask, mask, list(range(10, 100, 10)), tallest=35)
    assert stream.cut == 2
    assert (labels[mask > 0] > 0).all()
