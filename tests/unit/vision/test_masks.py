from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from gateway.vision.clicks import Box
from gateway.vision.masks import ObjectMask, merge
from gateway.vision.outlines import compress, outlines, run_lengths

Mask = NDArray[np.bool_]
MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def encoded(mask: Mask) -> str:
    """Return what pycocotools writes."""
    counts: bytes = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return counts.decode()


class TestObjectMask:
    @given(MASKS)
    def test_nothing_is_lost(self, mask: Mask) -> None:
        found = ObjectMask.of(mask)
        np.testing.assert_array_equal(found.whole(), mask)
        assert found.area == mask.sum()
        assert (found.box is None) is (not mask.any())

    @given(MASKS, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
    def test_a_part_lies_where_it_was_cut(self, part: Mask, left: int, top: int, right: int, bottom: int) -> None:
        whole = np.pad(part, ((top, bottom), (left, right)))
        place = Box(left, top, left + part.shape[1] - 1, top + part.shape[0] - 1)
        found = ObjectMask.within(part, place, *whole.shape)
        np.testing.assert_array_equal(found.whole(), whole)
        assert found.box == ObjectMask.of(whole).box

    @given(MASKS, st.floats(-3, 15), st.floats(-3, 15))
    def test_it_knows_its_pixels(self, mask: Mask, x: float, y: float) -> None:
        height, width = mask.shape
        on_image = 0 <= round(x) < width and 0 <= round(y) < height
        assert ObjectMask.of(mask).holds(x, y) is (on_image and bool(mask[round(y), round(x)]))


@given(st.lists(arrays(np.bool_, (9, 7)), max_size=5))
def test_of_merged_objects_later_ones_are_on_top(masks: list[Mask]) -> None:
    expected = np.zeros((9, 7), np.uint8)
    for value, mask in enumerate(masks, start=1):
        expected[mask] = value
    np.testing.assert_array_equal(merge(map(ObjectMask.of, masks), 9, 7), expected)


class TestRunLengths:
    # Of pycocotools itself, which is older than NumPy 2.
    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    @given(MASKS)
    def test_they_are_what_pycocotools_writes(self, mask: Mask) -> None:
        counts = run_lengths(ObjectMask.of(mask))
        assert compress(counts) == encoded(mask)
        rle = coco.frPyObjects({"size": list(mask.shape), "counts": counts.tolist()}, *mask.shape)
        np.testing.assert_array_equal(coco.decode(rle), mask)

    @given(st.integers(0, 2**32 - 1))
    def test_so_they_are_of_large_and_ragged_masks(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        height, width = rng.integers(1, 700, 2)
        mask = rng.random((height, width)) < rng.choice([0.001, 0.5, 0.999])
        assert compress(run_lengths(ObjectMask.of(mask))) == encoded(mask)

    def test_a_run_may_go_on_in_the_next_column(self) -> None:
        mask = np.zeros((4, 3), np.bool_)
        mask[2:, 0] = mask[:2, 1] = True
        assert run_lengths(ObjectMask.of(mask)).tolist() == [2, 4, 6]
        assert run_lengths(ObjectMask.of(np.ones((4, 3), np.bool_))).tolist() == [0, 12]
        assert run_lengths(ObjectMask.of(np.zeros((4, 3), np.bool_))).tolist() == [12]


class TestOutlines:
    def test_parts_and_holes_come_one_by_one_in_coordinates_of_the_image(self) -> None:
        mask = np.zeros((40, 60), np.bool_)
        mask[5:25, 10:30] = True
        mask[10:18, 15:24] = False
        mask[30:35, 50:58] = True
        first, second = outlines(ObjectMask.of(mask))
        assert sorted(first.polygon) == [[10, 5], [10, 24], [29, 5], [29, 24]]
        assert len(first.holes) == 1
        assert first.area == 400 - 72
        assert sorted(second.polygon) == [[50, 30], [50, 34], [57, 30], [57, 34]]
        assert second.box == (50, 30, 58, 35)

    @given(st.integers(0, 2**32 - 1))
    def test_filled_again_they_are_the_mask_to_within_a_pixel(self, seed: int) -> None:
        blobs = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(60, 90)), (0, 0), 4)
        mask = blobs > 0.02
        filled = np.zeros(mask.shape, np.uint8)
        for part in outlines(ObjectMask.of(mask)):
            # On a canvas of its own: other parts may lie in its holes.
            alone = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [np.array(part.polygon)], 1)
            for hole in part.holes:
                cv2.fillPoly(alone, [np.array(hole)], 0)
                cv2.polylines(alone, [np.array(hole)], True, 1)
            filled |= alone.astype(np.uint8)
        exact = mask.astype(np.uint8)
        near = np.ones((3, 3), np.uint8)
        assert (filled <= cv2.dilate(exact, near)).all()
        assert (filled >= cv2.erode(exact, near, borderType=cv2.BORDER_CONSTANT, borderValue=0)).all()

    def test_nothing_has_no_outline(self) -> None:
        assert outlines(ObjectMask.of(np.zeros((5, 5), np.bool_))) == []
