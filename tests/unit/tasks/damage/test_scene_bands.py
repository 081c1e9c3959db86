"""What is counted band by band is what the whole map has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.geo.cog import NOT_OBSERVED
from gateway.tasks.damage import scene_bands
from gateway.tasks.damage.scene_bands import Band, Observation


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20), st.integers(0, 9))
def test_observed_pixels_are_counted_in_their_cells(height: int, width: int, step: int, seed: int) -> None:
    labels = np.random.default_rng(seed).choice(np.array([0, 3, NOT_OBSERVED], np.uint8), (height, width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_bands, "_CELLS", 7)
        observation = Observation(height, width)
    for top in range(0, height, step):
        rows = labels[top : top + step]
        observation.write(Band(top, rows, rows, rows != NOT_OBSERVED))
    side = observation.side
    expected = [
        [np.count_nonzero(labels[y : y + side, x : x + side] != NOT_OBSERVED) for x in range(0, width, side)]
        for y in range(0, height, side)
    ]
    assert observation.seen.tolist() == expected
    assert observation.pixels().sum() == height * width
