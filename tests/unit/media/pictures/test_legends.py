"""Legends below overlays."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.media.pictures.overlays import Entry, draw_legend, encode_overlay
from tests.support.pictures import decode

ENTRIES = [Entry((230, 5, 5), "rigid_plastic 12.0%"), Entry((4, 200, 3), "cardboard 3.1%"), Entry((5, 5, 9), "metal")]


def has(strip: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((strip.reshape(-1, 3) == colour).all(axis=1).any())


@pytest.mark.parametrize("width", [1, 64, 300, 1920, 12_000])
def test_a_legend_is_as_wide_as_its_picture(width: int) -> None:
    strip = draw_legend(width, ENTRIES)
    assert strip.dtype == np.uint8
    assert strip.shape[1:] == (width, 3)
    assert len(strip) < 0.2 * width + 200
    if width >= 64:
        assert all(has(strip, entry.colour) for entry in ENTRIES)
        assert has(strip, (24, 24, 24)), "text"


def test_entries_are_side_by_side_where_they_fit() -> None:
    assert len(draw_legend(200, ENTRIES)) == len(ENTRIES) * len(draw_legend(200, ENTRIES[:1]))
    assert len(draw_legend(1400, ENTRIES)) == len(draw_legend(1400, ENTRIES[:1]))


def test_names_in_any_script_are_drawn_as_far_as_the_font_goes() -> None:
    assert np.array_equal(draw_legend(400, [Entry((1, 2, 3), "쓰레기")]), draw_legend(400, [Entry((1, 2, 3), "???")]))


def test_an_overlay_is_followed_by_its_legend() -> None:
    image, labels = np.full((40, 70, 3), 90, np.uint8), np.zeros((40, 70), np.uint8)
    legend = draw_legend(70, ENTRIES)
    palette = np.zeros((1, 3), np.uint8)
    drawn = decode(encode_overlay(image, labels, palette, legend=legend))
    np.testing.assert_array_equal(drawn, np.concatenate([image, legend]))
