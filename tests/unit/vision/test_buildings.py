"""Buildings are found, cut out and filled one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vision.buildings import cut_crop, cut_crops, find_buildings
from tests.support.pictures import noise


def test_regions_large_enough_are_buildings() -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[2:7, 3:8] = 1  # 25 pixels
    mask[20:24, 10:16] = 1  # 24
    mask[30:36, 40:50], mask[36, 39] = 4, 1  # one, by its corner
    found = find_buildings(mask)
    assert found.boxes.tolist() == [[3, 2, 8, 7], [39, 30, 50, 37]]
    filled = found.filled(np.array([3, 2], np.uint8))
    expected = np.where(mask > 0, 2, 0)
    expected[2:7, 3:8], expected[20:24, 10:16] = 3, 0
    np.testing.assert_array_equal(filled, expected)


def test_an_empty_mask_has_no_buildings() -> None:
    found = find_buildings(np.zeros((8, 9), np.uint8))
    assert found.boxes.shape == (0, 4)
    assert not found.filled(np.zeros(0, np.uint8)).any()


@pytest.mark.parametrize("grow", [0, 0.5, 1])
def test_a_crop_of_its_own_size_is_the_image(grow: float) -> None:
    image, size = noise(90, 100), round(20 * (1 + 2 * grow))
    first = 50 - size // 2
    shown = image[first : first + size, first : first + size]
    np.testing.assert_array_equal(cut_crop(image, (40, 40, 60, 60), grow, size), shown)


def test_beyond_the_border_the_image_is_mirrored() -> None:
    image = noise(64, 64)
    crop = cut_crop(image, (0, 0, 16, 16), 0.5, 32)
    np.testing.assert_array_equal(crop[8:, 8:], image[:24, :24])
    np.testing.assert_array_equal(crop[:8, 8:], image[8:0:-1, :24])


def test_a_large_box_is_averaged() -> None:
    """A fine pattern is grey from afar; picking pixels would show it black or white."""
    image = np.zeros((512, 512, 3), np.uint8)
    image[::2, 1::2] = image[1::2, ::2] = 255
    crop = cut_crop(image, (100, 100, 400, 400), 0.2, 20)
    assert np.abs(crop.astype(int) - 128).max() < 30


def test_a_crop_is_stretched_to_a_square() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:] = 200
    crop = cut_crop(image, (40, 10, 60, 90), 0, 16)
    assert (crop[:, :7] == 0).all()
    assert (crop[:, 9:] == 200).all()


@given(
    x=st.integers(0, 90), y=st.integers(0, 60), w=st.integers(1, 90), h=st.integers(1, 60), size=st.integers(8, 40),
    grow=st.floats(0, 3),
)  # fmt: skip
def test_every_box_gives_a_crop_of_the_images_levels(x: int, y: int, w: int, h: int, size: int, grow: float) -> None:
    image = np.full((60, 90, 3), 77, np.uint8)
    crop = cut_crop(image, (min(x, 89), min(y, 59), min(x + w, 90), min(y + h, 60)), grow, size)
    assert crop.shape == (size, size, 3)
    assert (crop == 77).all()


def test_crops_are_stacked() -> None:
    image = noise(64, 64)
    crops = cut_crops(image, [(0, 0, 8, 8), (20, 20, 28, 28)], 0, 8)
    np.testing.assert_array_equal(crops, np.stack([image[:8, :8], image[20:28, 20:28]]))
