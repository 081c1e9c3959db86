"""Centre lines and their lengths, of lines whose length is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from gateway.vision.centrelines import lengths, thinned


def ruled(angle: float, width: int = 7, half: int = 200) -> np.ndarray:
    """Return a straight band through the middle of (500, 500), 2 × `half` long and with round ends."""
    dx, dy = half * math.cos(math.radians(angle)), half * math.sin(math.radians(angle))
    mask = np.zeros((500, 500), np.uint8)
    cv2.line(mask, (round(250 - dx), round(250 - dy)), (round(250 + dx), round(250 + dy)), 1, width)
    return mask > 0


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_a_line_is_as_long_in_every_direction(angle: int) -> None:
    assert lengths(thinned(ruled(angle))).sum() == pytest.approx(400, rel=0.08)


def test_errors_cancel_out_where_all_directions_are() -> None:
    ring = np.zeros((400, 400), np.uint8)
    cv2.circle(ring, (200, 200), 150, 1, 9)
    line = thinned(ring > 0)
    assert lengths(line).sum() == pytest.approx(2 * math.pi * 150, rel=0.02)
    assert line.sum() < 1000


def test_what_is_connected_stays_so_and_holes_stay_open() -> None:
    town = np.zeros((300, 300), np.uint8)
    for at in (60, 150, 240):
        cv2.line(town, (20, at), (280, at + 7), 1, 8)
        cv2.line(town, (at, 20), (at + 11, 280), 1, 5)
    line = thinned(town > 0).astype(np.uint8)
    assert not (line & ~town.astype(bool)).any()
    assert cv2.connectedComponents(line, connectivity=8)[0] == 2
    assert cv2.connectedComponents(1 - line, connectivity=4)[0] == 1 + 5, "four blocks, and what is around them"
    # One pixel wide: no square of four is full.
    assert not (line[1:, 1:] & line[:-1, 1:] & line[1:, :-1] & line[:-1, :-1]).any()


def test_a_line_that_leaves_the_image_is_measured_to_its_edge() -> None:
    mask = np.zeros((100, 120), np.bool_)
    mask[40:50] = True
    assert lengths(thinned(mask)).sum() == pytest.approx(0.948 * 119, rel=1e-6)


def test_what_is_wider_than_any_road_has_no_centre_line_and_costs_no_time() -> None:
    square = np.zeros((600, 600), np.bool_)
    square[100:500, 100:500] = True
    square[290:300] = True
    line = thinned(square)
    assert not line[120:480, 120:480].any()
    assert line[:, 50].sum() == line[:, 550].sum() == 1
    assert not thinned(np.ones((200, 300), np.bool_)).any()


def test_parts_add_up_and_nothing_has_no_length() -> None:
    along = lengths(thinned(ruled(30)))
    assert along[:, :250].sum() + along[:, 250:].sum() == pytest.approx(along.sum(), rel=1e-5)
    assert lengths(thinned(np.zeros((20, 30), np.bool_))).sum() == 0
    dot = np.zeros((20, 30), np.bool_)
    dot[5, 5] = True
    assert lengths(thinned(dot)).sum() == 0
