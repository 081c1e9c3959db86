"""A margin that is a share of the box: a photograph is shown alike at any scale, and a tight box needs no word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateway.repository.card import ClickSpec
from gateway.tasks.interactive.networks import at_scale, guided_view
from gateway.tasks.interactive.prompts import Prompt
from gateway.vision.clicks import Box

SHARED = ClickSpec(prompt="iog", size=256, margin=0, share=0.25, sigma=5, push=0)
PIXELS = ClickSpec(prompt="iog", size=256, margin=30, sigma=5, push=5)


def prompt(scale: int, *, tight: bool = False) -> Prompt:
    """Return a box of 80 x 40 pixels with two clicks, at a scale."""
    corners = ((100.0 * scale, 60.0 * scale), (180.0 * scale, 100.0 * scale))
    return Prompt(
        corners=corners,
        positive=((140.0 * scale, 80.0 * scale),),
        negative=((95.0 * scale, 55.0 * scale),),
        tight=tight,
    )


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_the_crop_is_a_share_of_the_box_at_any_scale(scale: int) -> None:
    view = guided_view(prompt(scale), SHARED)
    assert view.crop.box == Box(80 * scale, 40 * scale, 200 * scale - 1, 120 * scale - 1)
    base = guided_view(prompt(1), SHARED)
    for points, wanted in zip(view.clicks, base.clicks, strict=True):
        np.testing.assert_allclose(points, wanted, atol=3)
    assert len(view.clicks[1]) == 5


def test_a_margin_in_pixels_stays_what_it_was() -> None:
    assert guided_view(prompt(1), PIXELS).crop.box == Box(70, 30, 209, 129)
    assert guided_view(prompt(8), PIXELS).crop.box == Box(770, 450, 1469, 829)


def test_a_click_beyond_the_share_makes_the_box_grow_and_the_crop_with_it() -> None:
    view = guided_view(replace(prompt(1), positive=((260.0, 80.0),)), SHARED)
    assert view.crop.box == Box(100, 60, 260, 99).framed(0, 0.25)
    assert view.notices == ("the box was grown to hold a positive click outside the crop",)
    assert guided_view(replace(prompt(1), positive=((190.0, 80.0),)), SHARED).notices == ()


def test_tight_changes_nothing_for_a_model_that_learnt_from_loose_boxes() -> None:
    for tight in (False, True):
        view = guided_view(prompt(1, tight=tight), SHARED)
        np.testing.assert_array_equal(view.first[1], guided_view(prompt(1), SHARED).first[1])
    assert not np.array_equal(
        guided_view(prompt(1, tight=True), PIXELS).first[1], guided_view(prompt(1), PIXELS).first[1]
    )


def test_a_margin_in_pixels_grows_with_photographs_larger_than_those_learnt_from() -> None:
    assert at_scale(PIXELS, 480, 640) is PIXELS
    assert at_scale(PIXELS, 3840, 5120).margin == 8 * PIXELS.margin
    assert at_scale(SHARED, 3840, 5120) == SHARED
    base, large = guided_view(prompt(1), PIXELS).crop.box, guided_view(prompt(8), at_scale(PIXELS, 3840, 5120)).crop.box
    assert large.width == pytest.approx(8 * base.width, abs=8)
