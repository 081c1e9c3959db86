from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from maskgate_client import RunLengths
from numpy.typing import NDArray
from pycocotools import mask as coco

Mask = NDArray[np.bool_]


def coded(mask: Mask) -> str:
    counts: bytes = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return counts.decode()


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_masks_are_read_as_coco_codes_them(mask: Mask) -> None:
    height, width = mask.shape
    rle = RunLengths.read(height, width, coded(mask))
    np.testing.assert_array_equal(rle.pixels(), mask)
    assert rle.pixels().flags.c_contiguous


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_long_runs_are_read_too(height: int, width: int, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask = np.zeros((height, width), bool)
    mask[top : data.draw(st.integers(top, height)), left:] = True
    np.testing.assert_array_equal(RunLengths.read(height, width, coded(mask)).pixels(), mask)


@pytest.mark.parametrize("counts", ["", "4", "461L", "461Ko", "4é", "O="])
def test_what_codes_no_mask_of_the_size_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match=r"pixels|cut off|ascii|length"):
        RunLengths.read(3, 4, counts)
