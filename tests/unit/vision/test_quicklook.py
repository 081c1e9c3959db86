"""The small picture of a scene: the same in whatever bands the scene comes, and no building lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from gateway.vision.quicklook import Quicklook

UInt8 = npt.NDArray[np.uint8]


def drawn(pixels: UInt8, labels: UInt8, cuts: list[int], longest: int) -> tuple[UInt8, UInt8]:
    quicklook = Quicklook(len(labels), labels.shape[1], longest)
    for start, stop in pairwise([0, *cuts, len(labels)]):
        quicklook.add(pixels[start:stop], labels[start:stop])
    return quicklook.result()


@given(data=st.data(), height=st.integers(1, 60), width=st.integers(1, 60), longest=st.integers(1, 70))
def test_bands_change_nothing(data: st.DataObject, height: int, width: int, longest: int) -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 5, (height, width), np.uint8)
    cuts = sorted(data.draw(st.sets(st.integers(1, height - 1)))) if height > 1 else []
    whole, banded = drawn(pixels, labels, [], longest), drawn(pixels, labels, cuts, longest)
    for one, other in zip(whole, banded, strict=True):
        np.testing.assert_array_equal(one, other)
    picture, small = whole
    assert picture.shape == (*small.shape, 3)
    assert max(small.shape) <= longest
    assert small.max() == labels.max()


def test_squares_are_averaged_and_of_labels_the_highest_is_kept() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    labels = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 4]], np.uint8)
    picture, small = drawn(np.dstack([pixels] * 3), labels, [1], 2)
    np.testing.assert_array_equal(small, [[0, 1], [0, 4]])
    np.testing.assert_allclose(picture[..., 0], [[2.5, 4.5], [10.5, 12.5]], atol=0.5)


def test_what_is_small_already_stays() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    picture, _ = drawn(pixels, pixels[..., 0], [7], 2048)
    np.testing.assert_array_equal(picture, pixels)
