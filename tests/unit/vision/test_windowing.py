from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.vision.windowing import (
    LUNG_WINDOW,
    apply_linear_window,
    apply_window,
    pixels_to_mm2,
    undo_window,
    voxels_to_ml,
)


def test_the_lung_window_runs_from_0_to_1() -> None:
    values = np.array([-32768, -1250, -500, 250, 32767], np.int16)
    scaled = apply_window(values)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [0, 0, 0.5, 1, 1]


@given(hnp.arrays(np.int16, hnp.array_shapes(max_dims=3)), st.floats(-2000, 0), st.floats(1, 3000))
def test_a_window_is_monotonic_and_stays_within_0_and_1(values: np.ndarray, lower: float, width: float) -> None:
    scaled = apply_window(values, (lower, lower + width))
    assert scaled.shape == values.shape
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    order = np.argsort(values, axis=None)
    assert (np.diff(scaled.reshape(-1)[order]) >= 0).all()


@pytest.mark.parametrize("window", [LUNG_WINDOW, (-1000.0, 400.0)])
def test_grey_values_survive_the_way_to_hounsfield_units_and_back(window: tuple[float, float]) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    hounsfield = undo_window(grey, window)
    assert (hounsfield[0, 0], hounsfield[-1, -1]) == window
    assert (np.rint(255 * apply_window(hounsfield, window)) == grey).all()


def test_dicoms_window_is_its_standards_formula() -> None:
    # PS3.3 C.11.2.1.2.1: centre 2048, width 4096 passes 12 bits through; width 1 is a threshold.
    values = np.array([-5, 0, 2047, 2048, 4095, 5000], np.float32)
    assert apply_linear_window(values, 2048, 4096).tolist() == pytest.approx(
        [0, 0, 2047 / 4095, 2048 / 4095, 1, 1], abs=1e-6
    )
    assert apply_linear_window(values, 2048, 1).tolist() == [0, 0, 0, 1, 1, 1]


def test_areas_and_volumes() -> None:
    assert pixels_to_mm2(200, 0.7, 0.5) == pytest.approx(70)
    assert voxels_to_ml(2000, 0.5, 0.5, 2.0) == pytest.approx(1)
