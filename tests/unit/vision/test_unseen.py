"""Clouds and blank areas are told from ground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskgate_client.scenes import draw_scene

from gateway.vision.unseen import CELL, edges, featureless

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def town() -> UInt8:
    return draw_scene(5, 512).post


def all_of(image: UInt8) -> Mask:
    return np.ones(image.shape[:2], np.bool_)


def flagged(image: UInt8, observed: Mask | None = None) -> Mask:
    """Return where an image shows nothing, of what was observed."""
    seen = all_of(image) if observed is None else observed
    blank = np.zeros_like(seen)
    for place in featureless(image, seen):
        blank[place] = seen[place]
    return blank


def square(row: int, column: int, size: int = 512) -> Mask:
    mask = np.zeros((size, size), np.bool_)
    mask[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)] = True
    return mask


def test_a_drawn_town_is_seen_everywhere() -> None:
    image = town()
    assert not flagged(image).any()


def test_a_cloud_is_flagged_where_it_is() -> None:
    image, cloud = town(), square(1, 2)
    image[cloud] = np.random.default_rng(0).normal(235, 8, (CELL * CELL, 3)).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(flagged(image), cloud)


@pytest.mark.parametrize("colour", [(0, 0, 0), (17, 80, 30), (255, 255, 255)])
def test_a_blank_area_is_flagged_whatever_its_colour(colour: tuple[int, int, int]) -> None:
    image, blank = town(), square(3, 0)
    image[blank] = colour
    np.testing.assert_array_equal(flagged(image), blank)


def test_what_is_bright_and_has_features_is_ground() -> None:
    image, roofs = town(), square(2, 2)
    image[roofs] = 240
    image[2 * CELL : 3 * CELL : 16, 2 * CELL : 3 * CELL] = image[2 * CELL + 1 : 3 * CELL : 16, 2 * CELL : 3 * CELL] = 60
    assert not flagged(image).any()


def test_what_was_not_observed_neither_counts_nor_is_flagged() -> None:
    image, observed = town(), np.ones((512, 512), np.bool_)
    observed[:, :100] = False
    image[~observed] = 255
    image[:CELL, 100:CELL] = 240
    found = flagged(image, observed)
    assert found[:CELL, 100:CELL].all()
    assert found.sum() == CELL * (CELL - 100)


@given(st.integers(1, 5000))
def test_squares_cover_a_side_and_are_of_like_size(length: int) -> None:
    lengths = np.diff(edges(length))
    assert lengths.sum() == length
    assert (lengths > 0).all()
    if length >= CELL:
        assert lengths.min() >= CELL / 2
        assert lengths.max() <= 1.5 * CELL
