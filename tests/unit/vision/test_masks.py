from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco
from shapely import Polygon

from gateway.vision.clicks import Box
from gateway.vision.masks import ObjectMask, filled, largest_part, merge, overlap, uncovered
from gateway.vision.outlines import compress, outlines, read_run_lengths, run_lengths

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

    @given(MASKS)
    def test_what_was_written_is_read(self, mask: Mask) -> None:
        counts = run_lengths(ObjectMask.of(mask))
        for form in (compress(counts), encoded(mask), counts.tolist()):
            np.testing.assert_array_equal(read_run_lengths(form, *mask.shape).whole(), mask)

    @pytest.mark.parametrize("counts", ["", "0", "é", "P", "o" * 40, [3, 3], [-1, 13], [13]])
    def test_what_codes_no_such_mask_is_refused(self, counts: str | list[int]) -> None:
        with pytest.raises(ValueError, match=r"run length|ascii"):
            read_run_lengths(counts, 4, 3)

    def test_a_run_may_go_on_in_the_next_column(self) -> None:
        mask = np.zeros((4, 3), np.bool_)
        mask[2:, 0] = mask[:2, 1] = True
        assert run_lengths(ObjectMask.of(mask)).tolist() == [2, 4, 6]
        assert run_lengths(ObjectMask.of(np.ones((4, 3), np.bool_))).tolist() == [0, 12]
        assert run_lengths(ObjectMask.of(np.zeros((4, 3), np.bool_))).tolist() == [12]


def coco_pixels(ring: list[list[int]]) -> np.ndarray:
    """Return the pixels in a ring, bool (30, 44), as pycocotools draws it."""
    (code,) = coco.frPyObjects([[float(number) for point in ring for number in point]], 30, 44)
    return read_run_lengths(code["counts"].decode(), 30, 44).whole()


class TestOutlines:
    def test_parts_and_holes_come_one_by_one_in_coordinates_of_the_image(self) -> None:
        mask = np.zeros((40, 60), np.bool_)
        mask[5:25, 10:30] = True
        mask[10:18, 15:24] = False
        mask[30:35, 50:58] = True
        first, second = outlines(ObjectMask.of(mask))
        assert sorted(first.polygon) == [[10, 5], [10, 25], [30, 5], [30, 25]]
        assert [sorted(hole) for hole in first.holes] == [[[15, 10], [15, 18], [24, 10], [24, 18]]]
        assert first.area == 400 - 72
        assert sorted(second.polygon) == [[50, 30], [50, 35], [58, 30], [58, 35]]

    @given(st.integers(0, 2**32 - 1), st.sampled_from(["noise", "blobs", "lines"]))
    def test_they_are_valid_and_say_exactly_what_the_mask_does(self, seed: int, kind: str) -> None:
        rng = np.random.default_rng(seed)
        mask = rng.random((30, 44)) < 0.5
        if kind == "blobs":
            mask = cv2.GaussianBlur(rng.normal(size=(30, 44)), (0, 0), 3) > 0.02
        elif kind == "lines":
            mask = np.eye(30, 44, dtype=np.bool_) | np.eye(30, 44, 9, dtype=np.bool_)[::-1]
        drawn = np.zeros(mask.shape, np.bool_)
        for part in outlines(ObjectMask.of(mask)):
            shape = Polygon(part.polygon, part.holes)
            assert shape.is_valid
            assert len(part.polygon) >= 4
            assert shape.area == part.area
            # As annotation tools draw rings: the outer one, less the holes.
            drawn |= coco_pixels(part.polygon) & ~np.any([coco_pixels(hole) for hole in part.holes], axis=0)
        np.testing.assert_array_equal(drawn, mask)

    @pytest.mark.parametrize("simplify", [1, 3])
    def test_simplified_they_stay_valid_and_near(self, simplify: float) -> None:
        mask = cv2.GaussianBlur(np.random.default_rng(3).normal(size=(300, 400)), (0, 0), 9) > 0.01
        exact, drawn = outlines(ObjectMask.of(mask)), outlines(ObjectMask.of(mask), simplify)
        assert sum(len(part.polygon) for part in drawn) < 0.6 * sum(len(part.polygon) for part in exact)
        for one, other in zip(exact, drawn, strict=True):
            shape, given_shape = Polygon(one.polygon, one.holes), Polygon(other.polygon, other.holes)
            assert given_shape.is_valid
            assert other.area == one.area
            assert shape.exterior.hausdorff_distance(given_shape.exterior) <= simplify + 1

    def test_nothing_has_no_outline(self) -> None:
        assert outlines(ObjectMask.of(np.zeros((5, 5), np.bool_))) == []


class TestShapes:
    RING = np.zeros((20, 30), np.bool_)
    RING[2:12, 2:12] = True
    RING[4:7, 4:7] = RING[8:10, 8:10] = False
    RING[15:18, 20:24] = True

    def test_holes_are_filled_but_for_those_with_a_negative_click(self) -> None:
        whole = ObjectMask.of(self.RING)
        assert filled(whole).area == 100 + 12
        kept = filled(whole, [(5, 5), (25, 1), (29, 19)])
        assert kept.area == 100 - 9 + 12
        assert not kept.holds(5, 5)
        assert filled(ObjectMask.nothing(4, 4)).box is None

    def test_the_largest_part_stays_with_those_that_were_clicked(self) -> None:
        whole = ObjectMask.of(self.RING)
        assert largest_part(whole).box == Box(2, 2, 11, 11)
        assert largest_part(whole, [(21, 16), (28, 1)]).area == whole.area
        assert largest_part(whole, [(5, 5)]).box == Box(2, 2, 11, 11), "a click in a hole names no part"
        assert largest_part(ObjectMask.nothing(4, 4)).box is None

    @given(st.lists(arrays(np.bool_, (7, 9)), min_size=1, max_size=4))
    def test_what_is_uncovered_is_what_the_map_shows(self, masks: list[Mask]) -> None:
        objects = [ObjectMask.of(mask) for mask in masks]
        shown = merge(objects, 7, 9)
        for value, found in enumerate(uncovered(objects, 7, 9), start=1):
            np.testing.assert_array_equal(found.whole(), shown == value)

    @given(arrays(np.bool_, (7, 9)), arrays(np.bool_, (7, 9)))
    def test_overlap_is_intersection_over_union(self, one: Mask, other: Mask) -> None:
        union = (one | other).sum()
        expected = (one & other).sum() / union if one.any() and other.any() else 0
        assert overlap(ObjectMask.of(one), ObjectMask.of(other)) == pytest.approx(expected)
