from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vision.radiographs import decided_class, mean_evidence, to_tile


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 192), (640, 320)])
def test_a_film_that_shrinks_is_averaged(height: int, width: int) -> None:
    film = np.random.default_rng(1).integers(0, 256, (height, width), np.uint8)
    blocks = film.reshape(64, height // 64, 64, width // 64).mean(axis=(1, 3))
    tile = to_tile(film, 64)
    assert np.abs(tile[..., 0] - blocks).max() <= 0.5 + 1e-6
    assert (tile == tile[..., :1]).all()


@pytest.mark.parametrize("shape", [(30, 40), (32, 640)])
def test_a_film_with_a_side_that_grows_is_interpolated(shape: tuple[int, int]) -> None:
    film = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    rgb = np.repeat(film[..., None], 3, axis=2)
    np.testing.assert_array_equal(to_tile(film, 64), cv2.resize(rgb, (64, 64)))


def test_a_tile_does_not_keep_the_aspect() -> None:
    film = np.zeros((40, 160), np.uint8)
    film[:, 80:] = 200
    tile = to_tile(film, 32)
    assert tile.shape == (32, 32, 3)
    assert (tile[:, :15] == 0).all()
    assert (tile[:, 17:] == 200).all()


@given(st.floats(0, 1), st.floats(0.001, 0.999))
def test_of_two_classes_the_first_is_decided_from_its_threshold_on(probability: float, threshold: float) -> None:
    assert decided_class(np.array([probability, 1 - probability]), threshold) == (0 if probability >= threshold else 1)


@pytest.mark.parametrize(("threshold", "expected"), [(0.3, 0), (0.31, 2), (0.99, 2)])
def test_of_more_classes_the_highest_of_the_others_wins_below_it(threshold: float, expected: int) -> None:
    assert decided_class(np.array([0.3, 0.25, 0.45]), threshold) == expected


def test_evidence_lies_where_it_lay() -> None:
    cells = np.zeros((4, 4), np.uint8)
    cells[3, 0] = 200
    evidence = mean_evidence([cells], [1], 80, 40)
    assert evidence.shape == (80, 40)
    assert evidence[79, 0] == 200
    assert not evidence[:40].any()
    assert not evidence[:, 20:].any()
    np.testing.assert_array_equal(evidence, cv2.resize(cells, (40, 80), interpolation=cv2.INTER_LINEAR))


def test_maps_of_several_sizes_are_averaged() -> None:
    maps = [np.full((5, 5), 100, np.uint8), np.full((7, 7), 201, np.uint8), np.full((1, 1), 0, np.uint8)]
    assert (mean_evidence(maps, [1] * 3, 21, 34) == 100).all()
    assert (mean_evidence(maps[:2], [1, 1], 21, 34) == 151).all()
    assert (mean_evidence(maps[:2], [3, 1], 21, 34) == 125).all()
    assert (mean_evidence([np.full((2, 2), 255, np.uint8)] * 2, [1, 255], 8, 8) == 255).all()


def test_evidence_need_not_lie_together_in_memory() -> None:
    both = np.random.default_rng(2).integers(0, 256, (7, 7, 2), np.uint8)
    np.testing.assert_array_equal(
        mean_evidence([both[..., 1]], [1], 30, 20), mean_evidence([both[..., 1].copy()], [1], 30, 20)
    )
