"""Roofs that vote on their grade, in whole label maps and in bands."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.repository.card import VoteSpec
from gateway.vision.regions import Known
from gateway.vision.votes import VoteStream, voted

UInt8 = npt.NDArray[np.uint8]

WORST, LEAST, LARGEST = 4, 0.25, 32
RULE = VoteSpec(apart=WORST, least=LEAST, largest=LARGEST)

maps = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=24),
    elements=st.sampled_from([0, 0, 1, 2, 3, 4]),
)


def known_of(labels: UInt8, probabilities: UInt8) -> Known:
    places = np.flatnonzero(labels)
    return Known(places, probabilities.reshape(-1, probabilities.shape[2])[places])


def probabilities_of(labels: UInt8) -> UInt8:
    return np.random.default_rng(7).integers(0, 256, (*labels.shape, WORST + 1), dtype=np.uint8)


def one_by_one(labels: UInt8, largest: int) -> UInt8:
    """Return what votes come to, counted in the plainest way."""
    count, components = cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=8)
    result = labels.copy()
    for number in range(1, count):
        rows, columns = np.nonzero(components == number)
        if max(np.ptp(rows), np.ptp(columns)) + 1 > largest:
            continue
        values = labels[rows, columns]
        voters = values[values != WORST]
        if len(voters):
            grade = min(set(voters.tolist()), key=lambda value: (-np.count_nonzero(voters == value), value))
            stays = len(values) - len(voters) >= LEAST * len(values)
            result[rows, columns] = np.where((values == WORST) & stays, WORST, grade)
    return result


def streamed(
    labels: UInt8, probabilities: UInt8, sureness: UInt8, cuts: list[int], largest: int
) -> tuple[UInt8, UInt8]:
    stream = VoteStream(labels.shape[1], VoteSpec(apart=WORST, least=LEAST, largest=largest))
    parts = []
    for start, stop in pairwise([0, *cuts, len(labels)]):
        rows = slice(start, stop)
        parts.append(stream.add(labels[rows], sureness[rows], [known_of(labels[rows], probabilities[rows])]))
    parts.append(stream.end())
    decided, sure = (np.concatenate(some) for some in zip(*parts, strict=True))
    return decided, sure


def test_a_roof_has_the_grade_of_most_of_its_pixels() -> None:
    labels = np.zeros((6, 12), np.uint8)
    labels[1:5, 1:5] = 1
    labels[1, 1:5] = 3
    labels[2:5, 8:11] = 2
    labels[2, 8:11] = 4
    decided, _ = voted(labels, RULE)
    assert set(decided[1:5, 1:5].ravel()) == {1}
    assert set(decided[2, 8:11]) == {4}
    np.testing.assert_array_equal(decided > 0, labels > 0)


def test_what_is_destroyed_neither_votes_nor_is_voted_on() -> None:
    labels = np.zeros((10, 10), np.uint8)
    labels[:, 2:8] = 4
    labels[0, 2:5], labels[0, 5:8] = 2, [1, 1, 2]
    decided, _ = voted(labels, RULE)
    assert set(decided[0, 2:8]) == {2}
    assert set(decided[1:, 2:8].ravel()) == {4}


def test_what_little_is_destroyed_is_outvoted() -> None:
    decided, _ = voted(np.array([[1, 1, 1, 1, 4], [0, 0, 0, 0, 0], [1, 1, 1, 4, 0]], np.uint8), RULE)
    assert decided.tolist() == [[1] * 5, [0] * 5, [1, 1, 1, 4, 0]]


def test_of_a_draw_the_lesser_grade_is_taken() -> None:
    decided, _ = voted(np.array([[3, 2, 2, 3]], np.uint8), RULE)
    assert decided.tolist() == [[2] * 4]


@pytest.mark.parametrize("shape", [(2, LARGEST), (LARGEST, 2), (2, LARGEST + 1), (LARGEST + 1, 2)])
def test_what_is_larger_than_any_building_keeps_its_grades(shape: tuple[int, int]) -> None:
    labels = np.full(shape, 1, np.uint8)
    labels[-1, -1] = 2
    decided, _ = voted(labels, RULE)
    assert decided[-1, -1] == (2 if max(shape) > LARGEST else 1)


@given(labels=maps)
def test_votes_are_counted_right(labels: UInt8) -> None:
    decided, _ = voted(labels, RULE)
    np.testing.assert_array_equal(decided, one_by_one(labels, LARGEST))


@given(labels=maps)
def test_sureness_is_the_probability_of_what_was_voted_for(labels: UInt8) -> None:
    probabilities = probabilities_of(labels)
    own = np.take_along_axis(probabilities, labels[..., None].astype(np.int64), axis=2)[..., 0]
    decided, sure = voted(labels, RULE, own, [known_of(labels, probabilities)])
    expected = np.take_along_axis(probabilities, decided[..., None].astype(np.int64), axis=2)[..., 0]
    assert sure is not None
    np.testing.assert_array_equal(sure, expected)


@given(data=st.data(), labels=maps, largest=st.integers(1, 30))
def test_bands_of_any_height_change_nothing(data: st.DataObject, labels: UInt8, largest: int) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(labels) - 1), max_size=8)))
    probabilities = probabilities_of(labels)
    own = np.take_along_axis(probabilities, labels[..., None].astype(np.int64), axis=2)[..., 0]
    decided, sure = streamed(labels, probabilities, own, cuts, largest)
    expected = one_by_one(labels, largest)
    np.testing.assert_array_equal(decided, expected)
    np.testing.assert_array_equal(
        sure, np.take_along_axis(probabilities, expected[..., None].astype(np.int64), axis=2)[..., 0]
    )


def test_rows_are_final_as_soon_as_all_in_them_has_voted_or_is_too_large() -> None:
    labels = np.zeros((40, 6), np.uint8)
    labels[5:9, 1:3] = 2
    labels[12:, 1:3] = 3
    stream = VoteStream(6, VoteSpec(apart=WORST, least=LEAST, largest=10))
    final = []
    for row in labels:
        decided, _ = stream.add(row[None], row[None], [known_of(row[None], probabilities_of(row[None]))])
        final.append(len(decided))
    held = (np.arange(40) + 1 - np.cumsum(final)).tolist()
    assert held[:12] == [0] * 5 + [1, 2, 3, 4] + [0] * 3
    assert held[12:] == list(range(1, 11)) + [1] * 18
    assert len(stream.end()[0]) == 1
