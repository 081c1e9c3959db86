from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.vision import regions as module
from gateway.vision.regions import Region, Ring, regions

UInt8 = npt.NDArray[np.uint8]

label_maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.sampled_from([0, 0, 0, 1, 2, 4])
)


def drawn(*rows: str) -> UInt8:
    return np.array([[int(mark) if mark != "." else 0 for mark in row] for row in rows], np.uint8)


def flooded(label_map: UInt8) -> list[set[tuple[int, int]]]:
    """The 8-connected components as sets of (x, y), the slow and obvious way."""
    left = {(int(x), int(y)) for y, x in zip(*np.nonzero(label_map), strict=True)}
    components = []
    while left:
        front, component = {left.pop()}, set()
        while front:
            component |= front
            front = {(x + i, y + j) for x, y in front for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= front
        components.append(component)
    return components


def test_empty_map_has_no_regions() -> None:
    assert regions(np.zeros((9, 7), np.uint8)) == []


def test_one_pixel() -> None:
    assert regions(drawn("....", "..3.", "....")) == [
        Region(polygon=[[2, 1]], holes=[], value=3, area=1, confidence=None, box=(2, 1, 3, 2))
    ]


def test_rectangle_becomes_its_four_corners() -> None:
    (region,) = regions(drawn(".....", ".111.", ".111.", ".111.", "....."))
    assert sorted(region.polygon) == [[1, 1], [1, 3], [3, 1], [3, 3]]
    assert region.box == (1, 1, 4, 4)
    assert region.area == 9


def test_small_square_keeps_its_corners() -> None:
    (region,) = regions(drawn("....", ".11.", ".11.", "...."))
    assert sorted(region.polygon) == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_regions_at_the_border_are_whole() -> None:
    label_map = np.ones((8, 6), np.uint8)
    (region,) = regions(label_map)
    assert sorted(region.polygon) == [[0, 0], [0, 7], [5, 0], [5, 7]]
    assert region.area == 48
    assert region.box == (0, 0, 6, 8)


def test_diagonal_neighbours_are_one_region() -> None:
    (region,) = regions(drawn("1...", ".1..", "..1.", "...1"))
    assert region.area == 4
    assert sorted(region.polygon) == [[0, 0], [3, 3]]


def test_holes_are_kept_apart() -> None:
    outer, inner = regions(drawn("2222222", "2.....2", "2.111.2", "2.111.2", "2.....2", "2222222"))
    assert (outer.value, outer.area, len(outer.holes)) == (2, 22, 1)
    assert (inner.value, inner.area, inner.holes) == (1, 6, [])
    assert sorted(outer.polygon) == [[0, 0], [0, 5], [6, 0], [6, 5]]
    assert min(outer.holes[0])[0] >= 0
    assert max(outer.holes[0])[0] <= 6


def test_two_holes_belong_to_one_region() -> None:
    (region,) = regions(drawn("1111111", "1..1..1", "1..1..1", "1111111"))
    assert len(region.holes) == 2
    assert region.area == 20


def test_touching_classes_are_one_region_of_the_majority() -> None:
    (region,) = regions(drawn("11333", "11333"))
    assert (region.value, region.area) == (3, 10)


def test_equal_shares_go_to_the_lowest_value() -> None:
    (region,) = regions(drawn("4422"))
    assert region.value == 2


def test_confidence_is_the_mean_over_the_region_alone() -> None:
    label_map = drawn("11..2")
    confidence = np.array([[255, 0, 255, 255, 51]], np.uint8)
    assert [region.confidence for region in regions(label_map, confidence)] == [0.5, 0.2]


def test_small_regions_are_left_out_on_request() -> None:
    label_map = drawn("1....", "...11", "...11")
    assert [region.area for region in regions(label_map, min_area=2)] == [4]
    assert [region.area for region in regions(label_map, min_area=5)] == []


def test_regions_come_in_reading_order() -> None:
    boxes = [region.box[:2] for region in regions(drawn("...1..2", "3......", "....4.."))]
    assert boxes == [(3, 0), (6, 0), (0, 1), (4, 2)]


def refilled(region: Region, shape: tuple[int, ...]) -> set[tuple[int, int]]:
    canvas = np.zeros(shape, np.uint8)
    rings: list[Ring] = [region.polygon, *region.holes]
    cv2.drawContours(canvas, [np.array(ring, np.int32) for ring in rings], -1, 1, cv2.FILLED)
    return {(int(x), int(y)) for y, x in zip(*np.nonzero(canvas), strict=True)}


@given(label_maps, st.integers(0, 2**32 - 1))
def test_regions_agree_with_a_flood_fill(label_map: UInt8, seed: int) -> None:
    confidence = np.random.default_rng(seed).integers(0, 256, label_map.shape, dtype=np.uint8)
    expected = []
    for component in flooded(label_map):
        counted = Counter(int(label_map[y, x]) for x, y in component)
        most = max(counted.values())
        xs, ys = zip(*component, strict=True)
        box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        mean = sum(int(confidence[y, x]) for x, y in component) / len(component) / 255
        value = min(v for v, pixels in counted.items() if pixels == most)
        expected.append((box, value, len(component), mean))
    found = [(r.box, r.value, r.area, r.confidence or 0.0) for r in regions(label_map, confidence)]
    assert len(found) == len(expected)
    for ours, theirs in zip(sorted(found), sorted(expected), strict=True):
        assert ours[:3] == theirs[:3]
        assert ours[3] == pytest.approx(theirs[3], abs=5.1e-4)


@given(label_maps)
def test_outlines_run_through_the_regions_own_pixels(label_map: UInt8) -> None:
    components = {frozenset(component) for component in flooded(label_map)}
    for region in regions(label_map):
        corners = {(x, y) for ring in (region.polygon, *region.holes) for x, y in ring}
        assert any(corners <= component for component in components)


def test_outline_refills_a_building_to_within_a_pixel() -> None:
    label_map = np.zeros((200, 200), np.uint8)
    cv2.fillPoly(label_map, [np.array([[40, 60], [120, 30], [160, 130], [80, 160]], np.int32)], 1)
    cv2.circle(label_map, (100, 95), 20, 0, cv2.FILLED)
    (region,) = regions(label_map)
    assert len(region.polygon) <= 12
    refill = np.zeros_like(label_map)
    for x, y in refilled(region, label_map.shape):
        refill[y, x] = 1
    grown, shrunk = (change(label_map, np.ones((3, 3), np.uint8)) for change in (cv2.dilate, cv2.erode))
    assert (refill <= grown).all()
    assert (refill >= shrunk).all()


def test_bands_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    label_map = (rng.integers(0, 4, (60, 50)) * (rng.random((60, 50)) < 0.3)).astype(np.uint8)
    confidence = rng.integers(0, 256, label_map.shape, dtype=np.uint8)
    whole = regions(label_map, confidence)
    monkeypatch.setattr(module, "_BAND_PIXELS", 130)
    assert regions(label_map, confidence) == whole
