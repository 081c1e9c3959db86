"""The shift between two images: found where it is, and not claimed where nothing is."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskgate_client.scenes import Scene, draw_scene

from gateway.vision.registration import SURE, blocks, measure_shift

UInt8 = npt.NDArray[np.uint8]
amounts = st.floats(-12, 12)


@cache
def town(seed: int, size: int = 320) -> Scene:
    return draw_scene(seed, size)


def moved(image: UInt8, x: float, y: float) -> UInt8:
    """Return the image with all it shows `x` pixels farther to the right and `y` farther down."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = (image.shape[1], image.shape[0])
    return np.asarray(
        cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def everywhere(image: UInt8) -> npt.NDArray[np.bool_]:
    return np.ones(image.shape[:2], np.bool_)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 3), x=amounts, y=amounts)
def test_a_shift_is_found_to_a_fifth_of_a_pixel(seed: int, x: float, y: float) -> None:
    image = town(seed).pre
    found = measure_shift(image, moved(image, x, y), everywhere(image))
    assert abs(found.x - x) < 0.2
    assert abs(found.y - y) < 0.2
    assert found.confidence > 0.9


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 3), x=amounts, y=amounts)
def test_other_light_and_fallen_buildings_do_not_mislead(seed: int, x: float, y: float) -> None:
    """The drawn second picture is off by up to two pixels by itself: what is told is what was added to that."""
    scene = town(seed, 640)
    before = measure_shift(scene.pre, scene.post, everywhere(scene.pre))
    after = measure_shift(scene.pre, moved(scene.post, x, y), everywhere(scene.pre))
    assert before.sure
    assert after.sure
    assert abs(after.x - before.x - x) < 0.5
    assert abs(after.y - before.y - y) < 0.5


def test_a_corner_that_changed_altogether_is_outvoted() -> None:
    image = town(1).pre
    second = moved(image, 4.3, -3.7)
    second[:150, :150] = town(2).pre[:150, :150]
    found = measure_shift(image, second, everywhere(image))
    assert found.sure
    assert (found.x, found.y) == pytest.approx((4.3, -3.7), abs=0.2)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (2, 3), (3, 0)])
def test_two_places_are_not_matched(first: int, second: int) -> None:
    found = measure_shift(town(first).pre, town(second).post, everywhere(town(first).pre))
    assert found.confidence < SURE / 2


@pytest.mark.parametrize("side", [8, 24, 32, 36, 48, 56, 63])
def test_squares_that_coincide_do_not_confirm_each_other(side: int) -> None:
    """In small pictures the nine squares are one and the same ground: what one sees by chance all of them see."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        first, second = (cv2.GaussianBlur(rng.uniform(0, 255, (side, side, 3)), (0, 0), 1.5) for _ in range(2))
        found = measure_shift(first.astype(np.uint8), second.astype(np.uint8), np.ones((side, side), np.bool_))
        assert not found.sure


def test_squares_side_by_side_are_evidence_in_a_strip() -> None:
    strip = town(1).pre[100:140]
    found = measure_shift(strip, moved(strip, 3, 0), everywhere(strip))
    assert found.sure
    assert found.x == pytest.approx(3, abs=0.3)


def test_an_outline_of_nodata_is_no_edge_to_match() -> None:
    """The border of what is valid lies in one place in both images; taken for an edge it would say: no shift."""
    image = town(3).pre // 16
    ragged = cv2.resize(np.random.default_rng(0).random((12, 12)), (320, 320), interpolation=cv2.INTER_CUBIC)
    valid = np.asarray(ragged > 0.3)
    first, second = image.copy(), moved(image, -5.4, 6.2)
    first[~valid] = second[~valid] = 255
    misled = measure_shift(first, second, everywhere(image))
    assert (misled.x, misled.y) == pytest.approx((0, 0), abs=0.5)
    found = measure_shift(first, second, valid)
    assert found.sure
    assert (found.x, found.y) == pytest.approx((-5.4, 6.2), abs=0.3)


def test_nothing_to_see_is_nothing_found() -> None:
    image = town(0).pre
    blank = np.full_like(image, 90)
    assert measure_shift(image, blank, everywhere(image)).confidence == 0
    assert measure_shift(blank, blank, everywhere(image)).confidence == 0
    assert measure_shift(image, image, ~everywhere(image)).confidence == 0


@given(height=st.integers(1, 20_000), width=st.integers(1, 20_000))
def test_blocks_lie_inside_and_stay_small(height: int, width: int) -> None:
    found = blocks(height, width)
    assert len(found) == (9 if min(height, width) >= 16 else 0)
    for block in found:
        assert 1 <= block.side <= 512
        assert 0 <= block.x <= width - block.side
        assert 0 <= block.y <= height - block.side


@pytest.mark.parametrize("size", [(0, 40), (1, 40), (40, 1), (15, 15), (16, 16)])
def test_what_is_as_good_as_nothing_shows_no_shift(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    assert measure_shift(image, image, everywhere(image)).confidence == 0
