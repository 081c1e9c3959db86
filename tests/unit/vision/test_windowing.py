"""Hounsfield units come back from stored grey values, and slices go to the network's grid and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vision.windowing import (
    LUNG,
    Window,
    apply_window,
    from_grid,
    from_windowed,
    pixels_to_mm2,
    to_grid,
    to_windowed,
    voxels_to_ml,
)


def test_grey_values_become_the_units_they_stood_for() -> None:
    pixels = np.array([[0, 51, 255]], np.uint8)
    assert from_windowed(pixels, LUNG).tolist() == [[-1250, -950, 250]]
    assert from_windowed(pixels, Window(-160, 240)).tolist() == [[-160, -80, 240]]


@given(low=st.integers(-2000, 0), width=st.integers(256, 3000))
def test_the_window_turns_them_into_the_same_grey_values_again(low: int, width: int) -> None:
    pixels = np.arange(256, dtype=np.uint8)
    units = from_windowed(pixels, Window(low, low + width))
    assert units.dtype == np.int16
    shown = to_windowed(units, Window(low, low + width))
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, pixels)


def test_what_lies_outside_the_window_is_black_or_white() -> None:
    units = np.array([[-32768, -1251, -1250, -500, 250, 251, 32767]], np.int16)
    assert to_windowed(units, LUNG).tolist() == [[0, 0, 0, 128, 255, 255, 255]]


def test_a_coarser_grid_averages() -> None:
    units = np.array([[-1000, 0, 100, 100], [0, -1000, 100, 100]] * 2, np.int16)
    assert to_grid(units, 2).tolist() == [[-500, 100], [-500, 100]]


def test_a_finer_grid_stays_between_the_values() -> None:
    units = np.array([[-1000, 0], [0, -1000]], np.int16)
    finer = to_grid(units, 8)
    assert finer.shape == (8, 8)
    assert finer.dtype == np.int16
    assert finer[0, 0] == -1000
    assert len(np.unique(finer)) > 4


@given(height=st.integers(3, 40), width=st.integers(3, 40))
def test_what_lies_left_on_the_grid_lies_left_on_the_slice(height: int, width: int) -> None:
    probabilities = np.zeros((16, 16, 4), np.uint8)
    probabilities[:, :8, 1] = 255
    probabilities[:, 8:, 0] = 255
    back = from_grid(probabilities, height, width)
    assert back.shape == (height, width, 4)
    assert (back[:, 0] == [0, 255, 0, 0]).all()
    assert (back[:, -1] == [255, 0, 0, 0]).all()


def test_dicoms_window_is_its_standards_formula() -> None:
    # PS3.3 C.11.2.1.2.1: centre 2048, width 4096 passes 12 bits through; width 1 is a threshold.
    values = np.array([-5, 0, 2047, 2048, 4095, 5000], np.float32)
    assert apply_window(values, 2048, 4096).tolist() == pytest.approx([0, 0, 2047 / 4095, 2048 / 4095, 1, 1], abs=1e-6)
    assert apply_window(values, 2048, 1).tolist() == [0, 0, 0, 1, 1, 1]


def test_areas_and_volumes() -> None:
    assert pixels_to_mm2(200, 0.7, 0.5) == pytest.approx(70)
    assert voxels_to_ml(2000, 0.5, 0.5, 2.0) == pytest.approx(1)
