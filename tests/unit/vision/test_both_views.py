from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from gateway.vision.labels import averaged, both_views
from gateway.vision.regions import Known, regions
from gateway.vision.streamed_regions import RegionStream


def test_views_are_averaged_and_their_distance_is_kept() -> None:
    first = np.array([[[255, 0, 0], [100, 100, 55], [10, 20, 225]]], np.uint8)
    second = np.array([[[0, 255, 0], [100, 100, 55], [20, 20, 215]]], np.uint8)
    both = both_views(first, second)
    assert both.dtype == np.uint8
    assert both.tolist() == [[[128, 128, 0, 255], [100, 100, 55, 0], [15, 20, 220, 10]]]


def test_a_map_of_half_the_size_leaves_out_what_was_not_observed() -> None:
    values = np.array([[10, 20, 0], [30, 0, 0], [7, 8, 9]], np.uint8)
    assert averaged(values).tolist() == [[20, 0], [8, 9]]


def known_of(labels: npt.NDArray[np.uint8], planes: npt.NDArray[np.uint8]) -> list[Known]:
    """Return `planes` of the pixels above 0, in two parts and in no order."""
    places = np.random.default_rng(0).permutation(np.flatnonzero(labels))
    return [Known(some, planes.reshape(-1, planes.shape[2])[some]) for some in np.array_split(places, 2)]


@given(st.integers(0, 1000), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_what_is_known_of_pixels_is_averaged_over_regions_however_rows_come(seed: int, steps: list[int]) -> None:
    rng = np.random.default_rng(seed)
    height, width = sum(steps), 14
    labels = (rng.random((height, width)) < 0.4).astype(np.uint8) * rng.integers(1, 5, (height, width), np.uint8)
    planes = rng.integers(0, 256, (height, width, 3), np.uint8)
    whole = regions(labels, labels, known=known_of(labels, planes))
    for region in whole:
        x0, y0, x1, y1 = region.box
        assert region.means is not None
        if (labels[y0:y1, x0:x1] > 0).sum() == region.area:
            inside = planes[y0:y1, x0:x1][labels[y0:y1, x0:x1] > 0].mean(axis=0) / 255
            np.testing.assert_allclose(region.means, inside, atol=1e-3)
    stream, found, top = RegionStream(), [], 0
    for step in steps:
        part = slice(top, top + step)
        found += stream.add(labels[part], labels[part], known_of(labels[part], planes[part]))
        top += step
    found += stream.finish()
    assert sorted(found, key=repr) == sorted(whole, key=repr)
