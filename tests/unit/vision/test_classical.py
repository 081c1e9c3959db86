from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.vision.classical import NothingToLearn, crosses_itself, encloses_nothing, fill, grabcut, watershed
from gateway.vision.clicks import Box, Points, as_points

NONE = as_points([])
DISC = np.hypot(*np.mgrid[-60:60, -80:80]) <= 40


def iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def picture(truth: NDArray[np.bool_], seed: int = 0) -> NDArray[np.uint8]:
    """Return a reddish object before a bluish ground, both with some noise."""
    colours = np.where(truth[..., None], (200, 80, 60), (70, 90, 160))
    noise = np.random.default_rng(seed).normal(0, 12, colours.shape)
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


class TestGrabcut:
    def test_it_finds_the_object_in_its_box(self) -> None:
        assert iou(grabcut(picture(DISC), Box(36, 16, 124, 104), NONE, NONE, 2), DISC) > 0.98

    def test_nothing_outside_the_box_is_object(self) -> None:
        mask = grabcut(picture(DISC), Box(60, 40, 100, 80), as_points([(60, 40)]), NONE, 9)
        mask[40:81, 60:101] = False
        assert not mask.any()

    def test_clicks_decide_where_colours_cannot(self) -> None:
        twin = DISC | np.roll(DISC, 60, axis=1)
        box = Box(36, 16, 158, 104)
        both = grabcut(picture(twin), box, NONE, NONE, 3)
        assert both[60, 80]
        assert both[60, 140]
        mended = grabcut(picture(twin), box, as_points([(70, 60)]), as_points([(140, 60)]), 3)
        assert mended[60, 70]
        assert not mended[60, 140]

    def test_negative_clicks_are_over_positive_ones(self) -> None:
        mask = grabcut(picture(DISC), Box(36, 16, 124, 104), as_points([(80, 60)]), as_points([(80, 60)]), 4)
        assert not mask[60, 80]

    @pytest.mark.parametrize("box", [Box(0, 0, 159, 119), Box(0, 0, 158, 119), Box(1, 0, 159, 119)])
    def test_a_box_over_the_whole_image_takes_its_border_for_background(self, box: Box) -> None:
        assert iou(grabcut(picture(DISC), box, NONE, NONE, 2), DISC) > 0.98

    def test_large_parts_are_reduced_and_come_back_at_full_size(self) -> None:
        truth = cv2.resize(DISC.astype(np.uint8), (1600, 1200), interpolation=cv2.INTER_NEAREST) > 0
        mask = grabcut(picture(truth), Box(350, 150, 1250, 1050), NONE, NONE, 5)
        assert mask.shape == truth.shape
        assert iou(mask, truth) > 0.97

    def test_the_same_input_gives_the_same_mask_in_any_thread(self) -> None:
        def cut(seed: int) -> bytes:
            # Few iterations on noise alone: whatever chance decides is still seen.
            image = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
            return grabcut(image, Box(10, 10, 60, 50), NONE, NONE, 2, iterations=1).tobytes()

        alone = [cut(seed) for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(cut, [0, 1, 2, 3] * 4)) == alone * 4

    @pytest.mark.parametrize("level", [0, 7, 255])
    def test_a_picture_of_one_colour_is_answered(self, level: int) -> None:
        mask = grabcut(np.full((40, 40, 3), level, np.uint8), Box(10, 10, 30, 30), NONE, NONE, 2)
        assert mask.shape == (40, 40)

    @given(st.data())
    def test_any_box_is_answered_however_small_or_large(self, data: st.DataObject) -> None:
        x = sorted(data.draw(st.lists(st.integers(0, 39), min_size=2, max_size=2, unique=True)))
        y = sorted(data.draw(st.lists(st.integers(0, 29), min_size=2, max_size=2, unique=True)))
        box = Box(x[0], y[0], x[1], y[1])
        whole = box.width * box.height > 40 * 30 - 140
        try:
            mask = grabcut(picture(DISC[30:60, 60:100]), box, NONE, NONE, 1, iterations=1)
        except NothingToLearn:
            assert whole
            assert min(box.width, box.height) <= 2
        else:
            assert mask.shape == (30, 40)

    @pytest.mark.parametrize("clicks", [(NONE, as_points([(20, 20)])), (as_points([(20, 20)]), NONE)])
    def test_clicks_that_leave_nothing_to_learn_from_are_refused(self, clicks: tuple[Points, Points]) -> None:
        image = np.zeros((40, 40, 3), np.uint8)
        with pytest.raises(NothingToLearn):
            grabcut(image, Box(5, 5, 35, 35), *clicks, 100)


class TestWatershed:
    def test_it_floods_to_the_edge_of_the_object(self) -> None:
        mask = watershed(picture(DISC), [as_points([(80, 60)])], [as_points([(5, 5), (150, 5)])], 2)
        assert iou(mask, DISC) > 0.95

    def test_the_frame_of_the_image_belongs_to_whom_it_was_flooded_by(self) -> None:
        left = np.zeros((40, 60), np.bool_)
        left[:, :30] = True
        mask = watershed(picture(left), [as_points([(5, 20)])], [as_points([(50, 20)])], 1)
        assert mask[:, 0].all()
        assert mask[0, :28].all()
        assert not mask[:, -1].any()

    def test_strokes_are_lines_and_single_points_are_dots(self) -> None:
        flat = np.zeros((40, 40, 3), np.uint8)
        mask = watershed(flat, [as_points([(5, 5), (5, 34)])], [as_points([(34, 20)])], 0)
        assert mask[5:35, 5].all()
        assert not mask[20, 34]

    def test_large_images_come_back_at_full_size(self) -> None:
        truth = cv2.resize(DISC.astype(np.uint8), (1600, 1200), interpolation=cv2.INTER_NEAREST) > 0
        mask = watershed(picture(truth), [as_points([(800, 600)])], [as_points([(50, 50), (1500, 50)])], 10)
        assert mask.shape == truth.shape
        assert iou(mask, truth) > 0.95

    def test_both_kinds_of_strokes_are_needed_and_must_be_seen(self) -> None:
        flat, dot = np.zeros((40, 40, 3), np.uint8), as_points([(20, 20)])
        for inside, outside in (([dot], []), ([], [dot]), ([dot], [dot])):
            with pytest.raises(NothingToLearn):
                watershed(flat, inside, outside, 1)


class TestPolygon:
    def test_the_outline_is_included(self) -> None:
        mask = fill(as_points([(1, 1), (4, 1), (4, 4), (1, 4)]), 6, 7)
        assert mask.dtype == np.bool_
        assert mask.sum() == 16
        assert mask[1:5, 1:5].all()

    def test_vertices_are_rounded(self) -> None:
        np.testing.assert_array_equal(
            fill(as_points([(0.6, 1.4), (4.4, 0.6), (3.6, 4.4)]), 6, 6), fill(as_points([(1, 1), (4, 1), (4, 4)]), 6, 6)
        )

    @pytest.mark.parametrize(
        ("vertices", "crosses"),
        [
            ([(0, 0), (4, 0), (4, 4), (0, 4)], False),
            ([(0, 0), (4, 4), (4, 0), (0, 4)], True),
            ([(0, 0), (6, 0), (6, 6), (3, 1), (0, 6)], False),
            ([(0, 0), (6, 0), (6, 6), (3, -1), (0, 6)], True),
            # A hole by way of a bridge there and back, and a ring that is closed once more.
            ([(0, 0), (9, 0), (9, 9), (0, 9), (0, 0), (3, 3), (3, 6), (6, 6), (6, 3), (3, 3)], False),
            ([(0, 0), (4, 0), (4, 4), (0, 0)], False),
        ],
    )
    def test_crossing(self, vertices: list[tuple[float, float]], crosses: bool) -> None:
        for turned in range(len(vertices)):
            assert crosses_itself(as_points(vertices[turned:] + vertices[:turned])) is crosses

    @given(st.lists(st.floats(0, 6.28), min_size=3, max_size=40, unique=True))
    def test_stars_around_a_point_do_not_cross(self, angles: list[float]) -> None:
        turns = np.sort(angles)
        radii = 5 + np.random.default_rng(0).uniform(0, 9, len(turns))
        gaps = np.diff(np.append(turns, turns[0] + 2 * np.pi))
        if gaps.max() < np.pi:
            assert not crosses_itself(np.stack([radii * np.cos(turns), radii * np.sin(turns)], axis=1))

    def test_vertices_on_a_line_enclose_nothing(self) -> None:
        assert encloses_nothing(as_points([(1, 1), (3, 3), (9, 9)]))
        assert encloses_nothing(as_points([(2, 5), (2.3, 5.2), (1.8, 4.9)]))
        assert not encloses_nothing(as_points([(1, 1), (3, 3), (9, 8)]))
