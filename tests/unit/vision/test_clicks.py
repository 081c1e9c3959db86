from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.vision.clicks import (
    Box,
    Crop,
    as_points,
    box_around,
    box_of_mask,
    click_map,
    cut,
    inside_point,
    pushed_out,
)

SIDES = st.integers(1, 40)
GOLDEN = {0: 255, 1: 248.027, 2: 228.231, 5: 127.5, 10: 15.938, 15: 0.498}


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Draw a box anywhere, also far outside an image."""
    x, y = draw(st.integers(-60, 60)), draw(st.integers(-60, 60))
    return Box(x, y, x + draw(SIDES) - 1, y + draw(SIDES) - 1)


def within(box: Box, height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels of an image that are in a box, found one by one."""
    ys, xs = np.mgrid[:height, :width]
    return np.asarray((box.x0 <= xs) & (xs <= box.x1) & (box.y0 <= ys) & (ys <= box.y1))


class TestCrop:
    @given(boxes(), SIDES, SIDES, st.integers(0, 2**32 - 1))
    def test_cutting_and_pasting_back_at_native_size_are_inverse(
        self, box: Box, height: int, width: int, seed: int
    ) -> None:
        side = max(box.width, box.height)
        square = Crop(Box(box.x0, box.y0, box.x0 + side - 1, box.y0 + side - 1), side)
        image = np.random.default_rng(seed).integers(1, 256, (height, width), np.uint8)
        part = square.cut(image)
        assert part.shape == (side, side)
        back = square.paste((part / np.float32(255)).astype(np.float32), height, width)
        inside = within(square.box, height, width)
        np.testing.assert_array_equal(np.rint(255 * back), np.where(inside, image, 0))
        assert np.count_nonzero(part) == np.count_nonzero(inside), "what is outside the image is black"

    @given(SIDES, SIDES, st.integers(0, 30), st.data())
    def test_an_object_of_one_pixel_survives_crop_and_paste(
        self, height: int, width: int, margin: int, data: st.DataObject
    ) -> None:
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        mask = np.zeros((height, width), np.uint8)
        mask[y, x] = 1
        square = Crop(Box(x, y, x, y).relaxed(margin), 2 * margin + 1)
        np.testing.assert_array_equal(square.paste(square.cut(mask).astype(np.float32), height, width), mask)

    @given(boxes(), SIDES, SIDES, st.integers(1, 64))
    def test_at_any_size_the_paste_stays_in_crop_and_range(self, box: Box, height: int, width: int, size: int) -> None:
        answer = np.random.default_rng(0).uniform(0, 1, (size, size)).astype(np.float32)
        pasted = Crop(box, size).paste(answer, height, width)
        assert pasted.dtype == np.float32
        assert pasted.min() >= 0
        assert pasted.max() <= 1
        assert not pasted[~within(box, height, width)].any()
        whole = Crop(box, size).paste(np.ones((size, size), np.float32), height, width)
        np.testing.assert_allclose(whole, within(box, height, width), atol=1e-6)

    @given(boxes(), SIDES, SIDES, st.integers(2, 64))
    def test_bytes_are_pasted_like_numbers(self, box: Box, height: int, width: int, size: int) -> None:
        answer = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
        as_bytes = Crop(box, size).paste(answer, height, width)
        as_numbers = Crop(box, size).paste((answer / np.float32(255)).astype(np.float32), height, width)
        assert as_bytes.dtype == np.uint8
        np.testing.assert_allclose(as_bytes, 255 * as_numbers, atol=1)

    @given(boxes(), st.integers(2, 64), st.data())
    def test_uncut_is_the_paste_of_a_part(self, box: Box, size: int, data: st.DataObject) -> None:
        answer = np.random.default_rng(0).uniform(0, 1, (size, size)).astype(np.float32)
        moved = Box(0, 0, box.width - 1, box.height - 1)
        x = sorted(data.draw(st.lists(st.integers(0, moved.x1), min_size=2, max_size=2)))
        y = sorted(data.draw(st.lists(st.integers(0, moved.y1), min_size=2, max_size=2)))
        whole = Crop(moved, size).paste(answer, box.height, box.width)
        part = Crop(moved, size).uncut(answer, Box(x[0], y[0], x[1], y[1]))
        np.testing.assert_array_equal(part, whole[y[0] : y[1] + 1, x[0] : x[1] + 1])

    @given(boxes(), st.integers(1, 600), st.floats(0, 1), st.floats(0, 1))
    def test_points_map_linearly_from_the_box_to_the_square(self, box: Box, size: int, u: float, v: float) -> None:
        point = as_points([(box.x0 + u * box.width, box.y0 + v * box.height)])
        np.testing.assert_allclose(Crop(box, size).to_crop(point), [[u * size, v * size]], atol=1e-6)

    def test_a_click_lands_on_the_pixel_it_was_made_on(self) -> None:
        image = np.zeros((90, 120), np.uint8)
        image[33, 70] = 255
        crop = Crop(Box(40, 12, 103, 75), 128)
        ((x, y),) = np.rint(crop.to_crop(as_points([(70, 33)]))).astype(int)
        assert crop.cut(image)[y, x] > 100

    @given(boxes(), SIDES, SIDES)
    def test_cut_pads_with_black(self, box: Box, height: int, width: int) -> None:
        part = cut(np.full((height, width, 3), 9, np.uint8), box)
        assert part.shape == (box.height, box.width, 3)
        assert part.sum() == 3 * 9 * within(box, height, width).sum()


class TestBoxes:
    @given(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
    def test_a_box_is_the_same_from_either_diagonal(self, a: tuple[int, int], b: tuple[int, int]) -> None:
        expected = Box(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        for corners in ((a, b), (b, a), ((a[0], b[1]), (b[0], a[1])), ((b[0], a[1]), (a[0], b[1]))):
            assert box_around(as_points(corners)) == expected

    @given(boxes(), st.floats(-90, 90), st.floats(-90, 90))
    def test_a_box_grown_to_a_point_holds_it_and_itself(self, box: Box, x: float, y: float) -> None:
        grown = box.including(x, y)
        assert grown.holds(x, y)
        assert all(grown.holds(cx, cy) for cx, cy in box.corners())
        assert (grown == box) is box.holds(x, y)

    @given(boxes(), SIDES, SIDES)
    def test_the_box_of_a_mask_is_tight(self, box: Box, height: int, width: int) -> None:
        shown = box.clipped(height, width)
        expected = shown if shown.width > 0 and shown.height > 0 else None
        assert box_of_mask(within(box, height, width)) == expected


class TestInsidePoint:
    def test_the_middle_of_a_disc(self) -> None:
        assert inside_point(np.hypot(*np.mgrid[-20:21, -30:31]) <= 9.5) == (30, 20)

    def test_the_border_of_the_image_is_an_edge(self) -> None:
        # Unpadded, the distance would grow towards the border and the point lie on it.
        x, y = inside_point(np.ones((21, 41), np.bool_))
        assert y == 10
        assert 10 <= x <= 30
        half = np.zeros((21, 41), np.bool_)
        half[:, :15] = True
        assert inside_point(half)[0] in (7, 8)

    @given(SIDES, SIDES, st.data())
    def test_a_single_pixel_is_its_own_inside(self, height: int, width: int, data: st.DataObject) -> None:
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        mask = np.zeros((height, width), np.bool_)
        mask[y, x] = True
        assert inside_point(mask) == (x, y)

    @given(st.integers(0, 2**32 - 1))
    def test_the_point_is_in_the_mask(self, seed: int) -> None:
        mask = np.random.default_rng(seed).random((15, 22)) < 0.4
        x, y = inside_point(mask)
        assert mask[y, x]

    def test_an_empty_mask_has_none(self) -> None:
        with pytest.raises(ValueError, match="empty"):
            inside_point(np.zeros((3, 3), np.bool_))


class TestPushedOut:
    def test_corners_move_outwards_along_both_axes(self) -> None:
        corners = Box(100, 120, 300, 400).corners()
        assert pushed_out(corners, 10, 512).tolist() == [[90, 110], [310, 110], [310, 410], [90, 410]]

    def test_they_stay_in_the_square(self) -> None:
        assert pushed_out(Box(4, 0, 511, 505).corners(), 10, 512).tolist() == [[0, 0], [511, 0], [511, 511], [0, 511]]


class TestClickMap:
    @pytest.mark.parametrize(("radius", "value"), GOLDEN.items())
    def test_golden_values(self, radius: int, value: float) -> None:
        heat = click_map(as_points([(40, 50)]), 101, 10)
        for x, y in ((40 + radius, 50), (40 - radius, 50), (40, 50 + radius), (40, 50 - radius)):
            assert heat[y, x] == round(value)

    def test_the_width_is_the_full_one_at_half_maximum(self) -> None:
        assert click_map(as_points([(16, 16)]), 33, 8)[16, 20] == round(255 / 2)

    @given(st.floats(0.4, 30), st.floats(-20, 60), st.floats(-20, 60))
    def test_it_is_the_gaussian_everywhere(self, sigma: float, x: float, y: float) -> None:
        rows, columns = np.mgrid[:40, :40]
        distance = (columns - round(x)) ** 2 + (rows - round(y)) ** 2
        whole = 255 * np.exp(-4 * np.log(2) * distance / sigma**2)
        assert np.abs(click_map(as_points([(x, y)]), 40, sigma) - whole).max() <= 0.501

    @given(st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 45)), max_size=6))
    def test_points_combine_by_maximum_whatever_their_order(self, points: list[tuple[float, float]]) -> None:
        alone = [click_map(as_points([point]), 40, 5) for point in points]
        expected = np.max([np.zeros((40, 40), np.uint8), *alone], axis=0)
        np.testing.assert_array_equal(click_map(as_points(points), 40, 5), expected)
        np.testing.assert_array_equal(click_map(as_points(points[::-1]), 40, 5), expected)

    @given(st.floats(0, 39), st.floats(0, 39))
    def test_centres_are_rounded_so_that_every_click_reaches_full_height(self, x: float, y: float) -> None:
        heat = click_map(as_points([(x, y)]), 40, 5)
        assert heat.max() == 255
        assert heat[round(y), round(x)] == 255

    def test_no_clicks_are_an_empty_map(self) -> None:
        assert not click_map(as_points([]), 16, 5).any()
