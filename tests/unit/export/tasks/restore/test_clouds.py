"""Drawn clouds say what they hide, and quality measures what is left of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from export.tasks.restore.clouds import KINDS, Clouded, Kind, cover_between, drawn_over
from export.tasks.restore.evaluate import (
    MOST_DECIBELS,
    Restoration,
    leave_it,
    mean_filter,
    mean_ground,
    means,
    psnr,
    ssim,
)


def ground() -> np.ndarray:
    return cv2.resize(np.random.default_rng(1).integers(10, 120, (24, 24, 3), np.uint8), (96, 80))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_clouds_change_what_they_cover_and_nothing_else(kind: Kind, seed: int) -> None:
    image = ground()
    clouded = drawn_over(np.random.default_rng(seed), image, kind)
    assert (clouded.image.shape, clouded.cover.shape) == (image.shape, image.shape[:2])
    change = np.abs(clouded.image.astype(int) - image).max(axis=-1)
    assert (change[clouded.cover == 0] <= 1).all()
    assert change[clouded.cover > 200].size == 0 or change[clouded.cover > 200].min() > 16
    again = drawn_over(np.random.default_rng(seed), image, kind)
    np.testing.assert_array_equal(clouded.image, again.image)


def test_each_kind_is_another_sky() -> None:
    covers = {kind: [drawn_over(np.random.default_rng(s), ground(), kind).cover for s in range(12)] for kind in KINDS}
    assert min((cover > 0).mean() for cover in covers["haze"]) > 0.9, "haze is everywhere"
    assert max(cover.max() for cover in covers["haze"]) < 225, "and hides nothing"
    opaque = [cover for cover in covers["cumulus"] if (cover > 215).mean() > 0.01]
    assert len(opaque) >= 8, "heaps hide what is under them"
    assert all((cover == 0).any() for cover in covers["cumulus"])


def test_the_cover_of_a_pair_is_how_far_it_is_from_the_ground() -> None:
    clear = np.full((40, 60, 3), 100, np.uint8)
    cloudy = clear.copy()
    cloudy[:, :20], cloudy[:, 40:] = 255, 50
    cover = cover_between(cloudy, clear)
    assert (cover[5, 5], cover[5, 30], cover[5, 55]) == (255, 0, 128)


def test_psnr_and_ssim_are_those_of_the_field() -> None:
    """The figures of noise are those of scikit-image 0.26."""
    five, six = (np.full((32, 32, 3), level, np.uint8) for level in (51 * 5 // 2, 153))
    assert psnr(five, six) == pytest.approx(-20 * np.log10((153 - 127) / 255), abs=1e-6)
    assert ssim(five, five) == pytest.approx(1)
    assert psnr(five, five) == MOST_DECIBELS
    mean_x, mean_y = 127 / 255, 153 / 255
    expected = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    assert ssim(five, six) == pytest.approx(expected, abs=1e-6)
    rng = np.random.default_rng(7)
    one = rng.integers(0, 256, (40, 50, 3), np.uint8)
    other = np.clip(one.astype(int) + rng.integers(-40, 41, one.shape), 0, 255).astype(np.uint8)
    assert psnr(one, other) == pytest.approx(21.120523, abs=1e-4)
    assert ssim(one, other) == pytest.approx(0.953743, abs=1e-5)


def test_pixels_may_be_judged_by_themselves() -> None:
    truth = np.full((40, 40, 3), 100, np.uint8)
    found = truth.copy()
    found[:, 20:] = 130
    right = np.zeros((40, 40), np.bool_)
    right[:, 20:] = True
    assert psnr(found, truth, ~right) == MOST_DECIBELS
    assert psnr(found, truth, right) == pytest.approx(-20 * np.log10(30 / 255))
    assert ssim(found, truth, right) < ssim(found, truth) < ssim(found, truth, ~right)


def test_trivial_answers_are_what_they_say() -> None:
    clear = np.full((40, 40, 3), 100, np.uint8)
    cloudy, cover = clear.copy(), np.zeros((40, 40), np.uint8)
    cloudy[10:20, 10:20], cover[10:20, 10:20] = 250, 250
    clouded = Clouded(cloudy, cover)
    np.testing.assert_array_equal(leave_it(clouded), cloudy)
    np.testing.assert_array_equal(mean_ground(clouded), clear)
    assert mean_filter(clouded)[15, 15, 0] == 250
    assert 100 < mean_filter(clouded)[10, 10, 0] < 250
    nowhere = Clouded(cloudy, np.full_like(cover, 255))
    assert np.unique(mean_ground(nowhere)).size == 1


def test_figures_are_means_over_images_of_a_source_and_of_what_clouds_changed() -> None:
    clear = np.full((40, 40, 3), 100, np.uint8)
    cloudy = clear.copy()
    cloudy[:20] = 200
    halfway = clear.copy()
    halfway[:20] = 150
    cover = np.zeros((40, 40), np.uint8)
    changed, same = Clouded(cloudy, cover), Clouded(clear, cover)
    found = means([Restoration("thin", changed, halfway, clear), Restoration("thin", same, clear, clear)])
    assert found["thin_psnr"] == pytest.approx((-10 * np.log10((50 / 255) ** 2 / 2) + MOST_DECIBELS) / 2)
    # The second has nothing that clouds changed.
    assert found["thin_clouded_psnr"] == pytest.approx(-20 * np.log10(50 / 255))
    assert found["thin_clouded_ssim"] < found["thin_ssim"] < 1
