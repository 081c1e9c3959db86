from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.vision.labels import class_counts, decide, decide_with_confidence, halved

UInt8 = npt.NDArray[np.uint8]

probabilities = st.integers(2, 21).flatmap(
    lambda classes: hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=6).map(lambda shape: (*shape, classes)),
        # Few distinct values, so that ties are common.
        elements=st.sampled_from([0, 1, 50, 51, 128, 254, 255]),
    )
)


@given(probabilities)
def test_without_threshold_the_likeliest_value_wins(maps: UInt8) -> None:
    labels = decide(maps, None)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, maps.argmax(-1))


@given(probabilities, st.floats(0.01, 0.99))
def test_threshold_is_on_the_sum_of_all_but_background(maps: UInt8, threshold: float) -> None:
    foreground = maps[..., 1:].sum(-1, dtype=int) >= 255 * threshold
    assert np.array_equal(decide(maps, threshold), np.where(foreground, maps[..., 1:].argmax(-1) + 1, 0))


@pytest.mark.parametrize("level", range(1, 255))
def test_threshold_itself_is_foreground(level: int) -> None:
    assert decide(np.array([[255 - level, level], [255 - level, level - 1]], np.uint8), level / 255).tolist() == [1, 0]


def test_damage_may_be_split_over_classes_and_still_be_a_building() -> None:
    pixel = np.array([[105, 60, 70, 20, 0]], np.uint8)
    assert decide(pixel, None).tolist() == [0]
    assert decide(pixel, 0.5).tolist() == [2]


@given(probabilities, st.sampled_from([None, 0.2, 0.5]))
def test_confidence_is_the_probability_of_the_value_decided(maps: UInt8, threshold: float | None) -> None:
    labels, sureness = decide_with_confidence(maps, threshold)
    assert np.array_equal(labels, decide(maps, threshold))
    assert np.array_equal(sureness, np.take_along_axis(maps, labels[..., np.newaxis].astype(int), axis=-1)[..., 0])


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=2), elements=st.integers(0, 7)))
def test_counts_are_those_of_the_map(label_map: UInt8) -> None:
    counts = class_counts(label_map, 5)
    assert counts.dtype == np.int64
    assert counts.tolist() == np.bincount(label_map.ravel(), minlength=8)[:5].tolist()


def test_bands_are_views_and_need_not_be_copied() -> None:
    maps = np.random.default_rng(0).integers(0, 256, (20, 30, 5), dtype=np.uint8)
    assert np.array_equal(decide(maps[4:9], None), maps.argmax(-1)[4:9])
    assert np.array_equal(decide(maps[:, 3:7], None), maps.argmax(-1)[:, 3:7])


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)))
def test_half_a_map_has_what_most_of_four_pixels_have(labels: UInt8) -> None:
    half = halved(labels)
    assert half.shape == (-(-labels.shape[0] // 2), -(-labels.shape[1] // 2))
    for (y, x), value in np.ndenumerate(half):
        four = labels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel().tolist()
        # Python counts the first of equals.
        assert value == max(four, key=four.count)
