"""Pairs of scenes: brought together by where they lie, and by what they show."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from gateway.errors import PairApart, PairUnaligned
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.picture_rasters import Picture, shifted
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.damage.scene_pairs import Align, ScenePair, pair_pictures, pair_scenes
from tests.support.geotiffs import grid, opened, whole, write
from tests.support.table_engine import TableEngine
from tests.support.towns import SIZE, in_degrees, place, seen_on, town

UInt8 = NDArray[np.uint8]


def run(pairing: Any) -> Any:
    async def ran() -> Any:
        workers = Workers(Threads("worker", 1))
        try:
            # Pairing asks for no model, only for the request's threads and clock.
            return await pairing(Segmenter(TableEngine(), workers, Telemetry(), Timeline(60), model=None))  # type: ignore[arg-type]
        finally:
            workers.close()

    return asyncio.run(ran())


def paired(post: UInt8, where: GeoGrid, align: Align = "auto") -> tuple[ScenePair, UInt8, NDArray[np.bool_]]:
    """Return the pair of the drawn town with `post`, and the post image as it came to lie on the pre grid."""
    with ExitStack() as held:
        pre, other = (opened(write(pixels, at)) for pixels, at in ((town().pre, place()), (post, where)))
        held.callback(pre.close)
        held.callback(other.close)
        pair: ScenePair = run(lambda segmenter: pair_scenes(segmenter, held, pre, other, align))
        return pair, *whole(pair.post)


def off(pixels: UInt8, seen: NDArray[np.bool_], wanted: UInt8) -> float:
    """Return the mean absolute difference of two pictures where one is seen."""
    return float(np.abs(pixels[seen].astype(np.float32) - wanted[seen]).mean())


def test_of_one_grid_and_one_ground_nothing_is_changed() -> None:
    pair, pixels, seen = paired(town().pre, place())
    np.testing.assert_array_equal(pixels, town().pre)
    assert seen.all()
    assert not pair.alignment.corrected
    assert pair.alignment.overlap == pytest.approx(1, abs=1e-6)
    assert pair.alignment.shift is not None
    assert (pair.alignment.shift.x, pair.alignment.shift.y) == pytest.approx((0, 0), abs=0.05)
    assert pair.alignment.shift.confidence == 1


def test_another_coordinate_system_resolution_and_extent_come_to_the_pre_grid() -> None:
    where = in_degrees()
    pair, pixels, seen = paired(seen_on(town().pre, where), where)
    assert pair.alignment.shift is not None
    assert (pair.alignment.shift.x, pair.alignment.shift.y) == pytest.approx((0, 0), abs=0.2)
    assert 0.5 < pair.alignment.overlap < 1
    assert seen.mean() == pytest.approx(pair.alignment.overlap, abs=0.01)
    assert off(pixels, seen, town().pre) < 6


@pytest.mark.parametrize("in_other_units", [False, True])
def test_a_wrong_place_is_told_of_and_corrected(in_other_units: bool) -> None:
    """The file says that it lies 5.3 pixels farther to the left, and 3.6 farther up, than it does."""
    where = in_degrees() if in_other_units else place()
    post = seen_on(town().pre, where, shift=(5.3, 3.6))
    pair, pixels, seen = paired(post, where)
    shift = pair.alignment.shift
    assert shift is not None
    assert (shift.x, shift.y) == pytest.approx((5.3, 3.6), abs=0.2)
    assert shift.sure
    assert pair.alignment.corrected
    left, left_seen = paired(post, where, "off")[1:]
    both = seen & left_seen
    both[:20] = both[:, :20] = both[-20:] = both[:, -20:] = False
    assert off(pixels, both, town().pre) < 0.5 * off(left, both, town().pre)


def test_off_measures_nothing() -> None:
    pair, _, _ = paired(seen_on(town().pre, place(), shift=(5, 5)), place(), "off")
    assert (pair.alignment.shift, pair.alignment.corrected) == (None, False)


def test_images_of_two_places_are_taken_as_they_lie_or_refused() -> None:
    """What the files say is all there is to go by; who requires more than that hears that there is none."""
    elsewhere = town(5).post
    pair, _, _ = paired(elsewhere, place())
    assert not pair.alignment.corrected
    assert pair.alignment.shift is not None
    assert not pair.alignment.shift.sure
    with pytest.raises(PairUnaligned) as refused:
        paired(elsewhere, place(), "require")
    assert set(refused.value.members["footprints"]) == {"pre", "post"}  # type: ignore[call-overload]


@pytest.mark.parametrize("metres", [400, 306, -310])
def test_no_ground_in_common_or_too_little_is_refused_with_both_footprints(metres: float) -> None:
    """A side is of 320 m, a twentieth of which is 16 m."""
    where = grid(SIZE, SIZE, affine=Affine.translation(metres, 0) @ place().affine)
    with pytest.raises(PairApart) as refused:
        paired(town().pre, where)
    footprints: Any = refused.value.members["footprints"]
    for shape in footprints.values():
        assert shape["type"] == "Polygon"
        (ring,) = shape["coordinates"]
        assert ring[0] == ring[-1]
        assert all(-95 < longitude < -94 and 37 < latitude < 38 for longitude, latitude in ring)


def test_a_small_image_inside_a_large_one_is_a_pair() -> None:
    where = grid(80, 80, affine=place().affine @ Affine.translation(200, 300))
    pair, pixels, seen = paired(town().pre[300:380, 200:280], where)
    assert pair.alignment.overlap == pytest.approx(6400 / SIZE**2, abs=1e-4)
    assert seen[300:380, 200:280].mean() > 0.9
    assert off(pixels[302:378, 202:278], seen[302:378, 202:278], town().pre[302:378, 202:278]) < 2


@pytest.mark.parametrize("align", ["auto", "require", "off"])
@pytest.mark.parametrize(("width", "height", "metres"), [(100, 100, 0.02), (100, 6000, 0.0005), (64, 64, 0.01)])
def test_a_post_image_within_a_few_pre_pixels_is_refused_with_their_number(
    width: int, height: int, metres: float, align: Align
) -> None:
    east, north = place().affine @ (100.3, 100.3)
    where = grid(width, height, affine=Affine(metres, 0, east, 0, -metres, north))
    with pytest.raises(PairApart, match=r"share \d+\.\d\d pixels of the pre image") as refused:
        paired(np.asarray(cv2.resize(town().pre, (width, height)), np.uint8), where, align)
    assert set(refused.value.members["footprints"]) == {"pre", "post"}  # type: ignore[call-overload]


def test_a_strip_narrower_than_a_pixel_is_a_pair_that_is_not_sure() -> None:
    east, north = place().affine @ (100.3, 100.3)
    where = grid(16, 400, affine=Affine(0.02, 0, east, 0, -0.5, north))
    pair, _, _ = paired(town().pre[:400, :16], where)
    assert pair.alignment.shift is not None
    assert not pair.alignment.shift.sure


def test_pictures_are_aligned_by_what_they_show_when_asked() -> None:
    pre = Picture(town().pre, np.ones((SIZE, SIZE), np.bool_))
    post = shifted(pre, (-4.4, 7.2))
    assert run(lambda segmenter: pair_pictures(segmenter, pre, post)).post is post
    pair = run(lambda segmenter: pair_pictures(segmenter, pre, post, "require"))
    assert (pair.alignment.shift.x, pair.alignment.shift.y) == pytest.approx((4.4, -7.2), abs=0.2)
    pixels, seen = whole(pair.post)
    assert off(pixels[20:-20, 20:-20], seen[20:-20, 20:-20], town().pre[20:-20, 20:-20]) < 4
    assert not pixels[~seen].any()
    assert 0.9 < seen.mean() < 1
