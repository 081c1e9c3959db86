"""Photographs at a model's scale, and its answers at theirs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vision.resizing import aligned, fitted, from_scale, to_scale

sides = st.integers(1, 9000)


@pytest.mark.parametrize(
    ("size", "short", "long", "fits", "aligns"),
    [
        ((1080, 1920), 512, 2048, (512, 910), (512, 928)),
        ((1920, 1080), 512, 2048, (910, 512), (928, 512)),
        ((640, 640), 256, 1024, (256, 256), (256, 256)),
        ((352, 640), 256, 1024, (256, 465), (256, 480)),
        ((200, 4000), 512, 2048, (102, 2048), (128, 2048)),
        ((64, 64), 512, 2048, (512, 512), (512, 512)),
        ((1, 9000), 512, 2048, (1, 2048), (32, 2048)),
    ],
)
def test_golden_sizes(
    size: tuple[int, int], short: int, long: int, fits: tuple[int, int], aligns: tuple[int, int]
) -> None:
    assert fitted(size, short, long) == fits
    assert aligned(fits, 32) == aligns


@given(sides, sides, st.integers(32, 1024), st.integers(1, 4))
def test_both_limits_are_kept_and_one_is_reached(height: int, width: int, short: int, factor: int) -> None:
    found = fitted((height, width), short, factor * short)
    assert min(found) <= short
    assert max(found) <= factor * short
    assert min(found) == short or max(found) == factor * short
    scale = min(short / min(height, width), factor * short / max(height, width))
    for side, was in zip(found, (height, width), strict=True):
        assert abs(side - max(1, was * scale)) <= 0.5 + 1e-6


@given(sides, sides, st.sampled_from([1, 8, 32]))
def test_alignment_is_up_to_the_next_multiple(height: int, width: int, multiple: int) -> None:
    found = aligned((height, width), multiple)
    for side, was in zip(found, (height, width), strict=True):
        assert side % multiple == 0
        assert was <= side < was + multiple


def test_a_photograph_is_resized_twice_as_mmsegmentation_does() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (108, 192, 3), np.uint8)
    first = cv2.resize(photo, (91, 51), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(to_scale(photo, 51, 204, 32), cv2.resize(first, (96, 64)))


def test_a_photograph_of_the_right_size_is_not_copied() -> None:
    photo = np.zeros((64, 96, 3), np.uint8)
    assert to_scale(photo, 64, 256, 32) is photo


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 700), st.integers(1, 60), st.integers(2, 6), st.integers(0)
)
def test_probabilities_come_back_bilinear_in_bands_without_gap(
    height: int, width: int, rows: int, columns: int, classes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 256, (height, width, classes), np.uint8)
    bands = list(from_scale(probabilities, (rows, columns)))
    assert [top for top, _ in bands] == [sum(len(band) for _, band in bands[:n]) for n in range(len(bands))]
    found = np.concatenate([band for _, band in bands])
    assert found.shape == (rows, columns, classes)
    assert found.dtype == np.uint8
    exact = cv2.resize(probabilities.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    assert np.abs(found - exact.reshape(found.shape)).max() <= 2
    assert found.min() >= probabilities.min()
    assert found.max() <= probabilities.max()


def test_probabilities_of_the_right_size_stay_as_they_are() -> None:
    probabilities = np.random.default_rng(0).integers(0, 256, (300, 20, 3), np.uint8)
    np.testing.assert_array_equal(np.concatenate([b for _, b in from_scale(probabilities, (300, 20))]), probabilities)
