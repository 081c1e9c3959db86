"""Each pipeline against its steps written down once more, on models that answer by a known rule."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.errors import MaskgateError, ModelNotFound, ModelNotReady, ParameterInvalid, PromptInvalid, VersionNotFound
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.sessions.features import FeatureKey, Features
from gateway.tasks.interactive.networks import inside_of
from gateway.tasks.interactive.pipeline import choose_selector
from gateway.tasks.interactive.prompts import Point, Prompt, Strokes
from gateway.tasks.interactive.selectors import InteractiveRun, Memory, Picture, Selection
from gateway.vision.clicks import Box, Crop, as_points, click_map, pushed_out
from gateway.vision.promises import honoured
from tests.support.pictures import noise
from tests.support.trivial_interactive import (
    probability_of,
    write_interactive_version,
    write_trivial_interactive,
)

Pixels = NDArray[np.uint8]
SIZE, MARGIN, SIGMA, PUSH = 32, 30, 10 / 16, 10 / 16
IMAGE = noise(120, 160, seed=3)
CORNERS = ((60.0, 81.0), (101.0, 50.0))
BOX = Box(60, 50, 100, 80)
FIRST = Prompt(corners=CORNERS, positive=((83, 66),))


class Shelf:
    """Keeps features, and counts how often it had them."""

    def __init__(self) -> None:
        self.kept: dict[FeatureKey, Features] = {}
        self.hits = 0

    async def get(self, key: FeatureKey) -> Features | None:
        self.hits += key in self.kept
        return self.kept.get(key)

    async def put(self, key: FeatureKey, features: Features) -> None:
        self.kept[key] = features


class Desk:
    """An engine on a repository, and what a request needs besides."""

    def __init__(self, repository: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.telemetry = Telemetry()
        self.engine = EmbeddedEngine(repository, "cpu", 1, self.telemetry)
        self.workers = Workers(Threads("worker", 2))
        self.do(self.engine.start())

    def do(self, work: Awaitable[Any]) -> Any:
        async def working() -> Any:
            return await work

        return self.loop.run_until_complete(working())

    def close(self) -> None:
        self.do(self.engine.close())
        self.workers.close()
        self.loop.close()

    def select(
        self,
        name: str,
        prompt: Prompt,
        *,
        image: Pixels | Picture = IMAGE,
        threshold: float | None = None,
        memory: Memory | None = None,
        version: int | None = None,
    ) -> Selection:
        run = InteractiveRun(self.engine, self.workers, self.telemetry, Timeline(60), memory)
        selector = choose_selector(self.engine, name, version)
        selector.intake.check(name, prompt)
        picture = image if isinstance(image, Picture) else Picture.of(image)
        found: Selection = self.do(selector.select(run, picture, prompt, threshold))
        return found

    def runs(self, model: str) -> float:
        return self.telemetry.registry.get_sample_value("maskgate_tiles_total", {"model": model}) or 0.0


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(write_trivial_interactive(tmp_path_factory.mktemp("interactive")))
    yield desk
    desk.close()


def guided(prompt: Prompt, box: Box = BOX, image: Pixels = IMAGE) -> NDArray[Any]:
    """Return the probabilities that the steps of the paper give, on the whole image."""
    crop = Crop(Box(box.x0 - MARGIN, box.y0 - MARGIN, box.x1 + MARGIN, box.y1 + MARGIN), SIZE)
    corners = crop.to_crop(box.corners())
    outside = np.concatenate(
        [pushed_out(corners, PUSH, SIZE) if prompt.tight else corners, crop.to_crop(as_points(prompt.negative))]
    )
    inside = crop.to_crop(as_points(prompt.positive))
    maps = np.stack([click_map(points, SIZE, SIGMA) for points in (inside, outside)], axis=-1)
    return crop.paste(probability_of(crop.cut(image), maps), *image.shape[:2]) / np.float32(255)


def promised(prompt: Prompt, box: Box = BOX, image: Pixels = IMAGE, threshold: float = 0.5) -> NDArray[np.bool_]:
    """Return the mask of `guided`, in which clicks are honoured."""
    values = np.rint(255 * guided(prompt, box, image)).astype(np.uint8)
    above = int(255 * threshold)
    radius = SIGMA / 2 * (max(box.width, box.height) + 2 * MARGIN) / SIZE
    return honoured(values > above, as_points(prompt.positive), as_points(prompt.negative), radius, values, above)


@pytest.mark.parametrize("name", ["iog", "click-lite0"])
@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("threshold", [None, 0.3, 0.7])
def test_iog_and_its_refinement_answer_three_clicks(
    desk: Desk, name: str, tight: bool, threshold: float | None
) -> None:
    found = desk.select(name, replace(FIRST, tight=tight), threshold=threshold)
    expected = guided(replace(FIRST, tight=tight))
    np.testing.assert_array_equal(found.mask.whole(), promised(replace(FIRST, tight=tight), threshold=threshold or 0.5))
    assert found.mask.area > 50
    assert found.score == pytest.approx(float(expected[found.mask.whole()].mean()), abs=1e-4)
    assert found.threshold == (threshold or 0.5)
    assert found.crop == Crop(Box(30, 20, 130, 110), SIZE)
    assert found.notices == ()
    assert found.prompt == replace(FIRST, tight=tight)


def test_a_crop_may_leave_the_image(desk: Desk) -> None:
    prompt = Prompt(corners=((0, 0), (21, 120)), positive=((7, 100),))
    found = desk.select("click-lite0", prompt)
    np.testing.assert_array_equal(found.mask.whole(), promised(prompt, Box(0, 0, 20, 119)))


def test_further_clicks_mend_the_mask(desk: Desk) -> None:
    more = replace(FIRST, positive=(*FIRST.positive, (44, 30)), negative=((90, 70),))
    found = desk.select("click-lite0", more)
    np.testing.assert_array_equal(found.mask.whole(), promised(more))
    assert (found.mask.whole() != desk.select("click-lite0", FIRST).mask.whole()).any()


class TestMemory:
    def test_features_are_made_once_for_all_clicks_on_an_object_and_the_image_is_not_asked_for(
        self, desk: Desk
    ) -> None:
        shelf = Shelf()
        memory = Memory(shelf, "tenant", "sha256:image")
        before = desk.runs("click-lite0-encoder")
        desk.select("click-lite0", FIRST, memory=memory)

        async def never() -> Pixels:
            raise AssertionError("the image is not needed")

        more = replace(FIRST, negative=((90, 70),))
        found = desk.select("click-lite0", more, memory=memory, image=Picture(120, 160, never))
        np.testing.assert_array_equal(found.mask.whole(), promised(more))
        assert desk.runs("click-lite0-encoder") == before + 1
        assert (len(shelf.kept), shelf.hits) == (1, 1)
        (features,) = shelf.kept.values()
        assert {name: array.ndim for name, array in features.items()} == {f"features_{n}": 3 for n in range(1, 5)}

    def test_lost_features_are_made_again(self, desk: Desk) -> None:
        shelf = Shelf()
        memory = Memory(shelf, "tenant", "sha256:image")
        once = desk.select("click-lite0", FIRST, memory=memory)
        shelf.kept.clear()
        again = desk.select("click-lite0", FIRST, memory=memory)
        np.testing.assert_array_equal(once.mask.whole(), again.mask.whole())
        assert shelf.hits == 0

    def test_the_key_holds_all_that_features_depend_on(self, desk: Desk) -> None:
        shelf = Shelf()

        def kept_after(prompt: Prompt, tenant: str = "a", image: str = "sha256:1") -> int:
            desk.select("click-lite0", prompt, memory=Memory(shelf, tenant, image))
            return len(shelf.kept)

        assert kept_after(FIRST) == 1
        assert kept_after(replace(FIRST, positive=((83, 66), (70, 60)), negative=((62, 52),))) == 1
        assert kept_after(FIRST, tenant="b") == 2
        assert kept_after(FIRST, image="sha256:2") == 3
        assert kept_after(replace(FIRST, positive=((70, 60),))) == 4
        assert kept_after(replace(FIRST, tight=False)) == 5
        assert kept_after(replace(FIRST, corners=((60, 81), (102, 50)))) == 6
        assert kept_after(replace(FIRST, positive=((83, 66), (150, 60)))) == 7, "a grown box is another crop"


class TestClicksOutsideTheCrop:
    def test_a_positive_one_grows_the_box(self, desk: Desk) -> None:
        prompt = replace(FIRST, positive=(*FIRST.positive, (145, 60)))
        found = desk.select("click-lite0", prompt)
        assert found.crop is not None
        assert found.crop.box == Box(30, 20, 175, 110)
        np.testing.assert_array_equal(found.mask.whole(), promised(prompt, Box(60, 50, 145, 80)))
        assert found.notices == ("the box was grown to hold a positive click outside the crop",)

    def test_one_at_the_edge_of_the_crop_does_not(self, desk: Desk) -> None:
        found = desk.select("click-lite0", replace(FIRST, positive=(*FIRST.positive, (130, 110))))
        assert found.notices == ()

    def test_once_it_has_grown_clicks_in_the_new_crop_change_it_no_more(self, desk: Desk) -> None:
        first, second = (145.0, 60.0), (159.0, 60.0)
        found = desk.select("click-lite0", replace(FIRST, positive=(*FIRST.positive, first, second)))
        assert found.crop is not None
        assert found.crop.box == Box(30, 20, 175, 110)

    def test_a_negative_one_changes_nothing(self, desk: Desk) -> None:
        found = desk.select("click-lite0", replace(FIRST, negative=((145, 60), (5, 5))))
        np.testing.assert_array_equal(found.mask.whole(), promised(FIRST))
        assert found.notices == ("negative clicks outside the crop change nothing: 2",)


class TestBoxAlone:
    def test_its_centre_is_the_inside_click_where_it_proves_to_be_inside(self, desk: Desk) -> None:
        bright = np.full((120, 160, 3), 200, np.uint8)
        before = desk.runs("iog")
        found = desk.select("iog", Prompt(corners=CORNERS), image=bright)
        assert found.prompt.positive == ((80, 65),)
        assert found.notices == ("the inside click was taken at (80, 65)",)
        assert desk.runs("iog") == before + 1

    @pytest.mark.parametrize("name", ["iog", "click-lite0"])
    def test_else_the_middle_of_the_mask_that_the_centre_gives(self, desk: Desk, name: str) -> None:
        ring = np.zeros((120, 160, 3), np.uint8)
        cv2.rectangle(ring, (84, 56), (96, 74), (200, 200, 200), cv2.FILLED)
        found = desk.select(name, Prompt(corners=CORNERS), image=ring)
        ((x, y),) = found.prompt.positive
        assert ring[int(y), int(x), 1] == 200
        assert found.notices == (f"the inside click was taken at ({x}, {y})",)
        np.testing.assert_array_equal(found.mask.whole(), guided(found.prompt, image=ring) > 0.5)

    def test_where_nothing_is_found_nothing_is_answered(self, desk: Desk) -> None:
        found = desk.select("iog", Prompt(corners=CORNERS), image=np.zeros((120, 160, 3), np.uint8))
        assert found.mask.box is None
        assert found.score is None
        assert not found.mask.whole().any()


class TestDextr:
    EXTREME: tuple[Point, ...] = ((60, 66), (80, 50), (100, 63), (84, 80))

    @pytest.mark.parametrize("threshold", [None, 0.4])
    def test_four_extreme_points_in_any_order(self, desk: Desk, threshold: float | None) -> None:
        bright = np.clip(IMAGE.astype(int) + 90, 0, 255).astype(np.uint8)
        crop = Crop(Box(30, 20, 130, 110), SIZE)
        points = np.trunc((as_points(self.EXTREME) - (30, 20)) * SIZE / (101, 91))
        maps = click_map(points, SIZE, SIGMA)[..., None]
        answer = crop.paste(probability_of(crop.cut_bicubic(bright), maps), 120, 160)
        expected = answer > 255 * (threshold or 0.8)
        expected[:50] = expected[81:] = expected[:, :60] = expected[:, 101:] = False
        for extreme in (self.EXTREME, self.EXTREME[::-1]):
            found = desk.select("dextr", Prompt(extreme=extreme), image=bright, threshold=threshold)
            np.testing.assert_array_equal(found.mask.whole(), expected)
        assert expected.sum() > 50


class TestTools:
    SCENE = np.where(np.hypot(*np.mgrid[-60:60, -80:80])[..., None] <= 30, (220, 90, 60), (40, 60, 150))

    @pytest.mark.parametrize(
        ("name", "prompt", "notices"),
        [
            ("grabcut", Prompt(corners=((45, 25), (116, 96))), 0),
            ("grabcut", Prompt(corners=((45, 25), (101, 96)), positive=((105, 60),)), 1),
            ("grabcut", Prompt(corners=((0, 0), (160, 120))), 1),
            ("watershed", Prompt(strokes=Strokes((((80, 50), (80, 70)),), (((5, 5), (150, 5)),))), 0),
            ("watershed", Prompt(positive=((80, 60),), negative=((5, 5),)), 0),
        ],
    )
    def test_they_find_what_they_are_shown(self, desk: Desk, name: str, prompt: Prompt, notices: int) -> None:
        noisy = self.SCENE + np.random.default_rng(0).normal(0, 6, self.SCENE.shape)
        found = desk.select(name, prompt, image=np.clip(noisy, 0, 255).astype(np.uint8))
        truth = np.hypot(*np.mgrid[-60:60, -80:80]) <= 30
        mask = found.mask.whole()
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9
        assert len(found.notices) == notices
        assert (found.score, found.threshold, found.crop, found.probability) == (None, None, None, None)

    def test_an_outline_is_its_own_mask(self, desk: Desk) -> None:
        found = desk.select("polygon", Prompt(polygon=((1, 1), (4, 1), (4, 4), (1, 4))))
        assert found.mask.box == Box(1, 1, 4, 4)
        assert found.mask.area == 16

    @pytest.mark.parametrize(
        ("name", "prompt"),
        [
            ("grabcut", Prompt(corners=((60, 50), (63, 53)), negative=((60, 51), (62, 51), (61, 50), (61, 52)))),
            ("watershed", Prompt(positive=((80, 60),))),
            ("watershed", Prompt(positive=((80, 60),), negative=((80, 60),))),
        ],
    )
    def test_hints_that_leave_one_side_nothing_are_refused(self, desk: Desk, name: str, prompt: Prompt) -> None:
        with pytest.raises(PromptInvalid, match=name):
            desk.select(name, prompt)


def test_a_small_object_in_a_large_image_costs_its_crop(desk: Desk) -> None:
    large = np.full((3000, 4000, 3), 200, np.uint8)
    desk.select("click-lite0", FIRST)
    tracemalloc.start()
    try:
        found = desk.select(
            "click-lite0", replace(FIRST, corners=((1960, 1481), (2001, 1450)), positive=((1983, 1466),)), image=large
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.mask.area > 50
    assert peak < 1_000_000


class TestChoice:
    def refused(self, repository: Path, name: str, version: int | None = None) -> MaskgateError:
        desk = Desk(repository)
        try:
            with pytest.raises(MaskgateError) as caught:
                choose_selector(desk.engine, name, version)
        finally:
            desk.close()
        return caught.value

    def test_tools_have_no_versions(self, desk: Desk) -> None:
        assert choose_selector(desk.engine, "polygon").model is None
        with pytest.raises(ParameterInvalid):
            choose_selector(desk.engine, "polygon", 1)

    def test_an_unknown_name_is_answered_with_all_there_are(self, desk: Desk) -> None:
        with pytest.raises(ModelNotFound) as caught:
            choose_selector(desk.engine, "nope")
        for name in ("dextr", "iog", "click-lite0", "grabcut", "watershed", "polygon"):
            assert name in caught.value.detail
        assert "encoder" not in caught.value.detail
        with pytest.raises(ModelNotFound):
            choose_selector(desk.engine, "click-lite0-encoder")
        with pytest.raises(VersionNotFound):
            choose_selector(desk.engine, "click-lite0", 7)

    def test_a_head_without_its_encoder_is_not_ready_and_says_why(self, tmp_path: Path) -> None:
        repository = write_trivial_interactive(tmp_path, ["click-lite0"])
        error = self.refused(repository, "click-lite0")
        assert isinstance(error, ModelNotReady)
        assert "version 1 of click-lite0-encoder, is not there" in error.detail

    def test_a_head_and_an_encoder_of_other_sizes_do_not_go_together(self, tmp_path: Path) -> None:
        write_trivial_interactive(tmp_path, ["click-lite0"], size=32)
        write_trivial_interactive(tmp_path, ["click-lite0-encoder"], size=48)
        assert "takes clicks in another way" in self.refused(tmp_path, "click-lite0").detail

    def test_an_encoder_that_failed_is_named(self, tmp_path: Path) -> None:
        repository = write_trivial_interactive(tmp_path, ["click-lite0", "click-lite0-encoder"])
        model = repository / "click-lite0-encoder" / "1" / "model.onnx"
        write_interactive_version(repository / "click-lite0-encoder", 2, 255)
        model.write_bytes(b"no model")
        error = self.refused(repository, "click-lite0")
        assert isinstance(error, ModelNotReady)
        assert "encoder" in error.detail

    def test_the_newest_version_whose_encoder_is_there_answers(self, tmp_path: Path) -> None:
        repository = write_trivial_interactive(tmp_path, ["click-lite0", "click-lite0-encoder"])
        write_interactive_version(repository / "click-lite0", 2, 100)
        desk = Desk(repository)
        try:
            selector = choose_selector(desk.engine, "click-lite0")
            assert selector.model is not None
            assert selector.model.version == 1
            with pytest.raises(ModelNotReady):
                choose_selector(desk.engine, "click-lite0", 2)
            write_interactive_version(repository / "click-lite0-encoder", 2, 100)
            desk.do(desk.engine.refresh())
            found = desk.select("click-lite0", FIRST, version=2)
            assert found.notices == ("nothing was found but the clicks themselves",)
            np.testing.assert_array_equal(desk.select("click-lite0", FIRST, version=1).mask.whole(), promised(FIRST))
        finally:
            desk.close()


class TestPromises:
    """Every further click is in the mask, or outside it, whatever answers."""

    @pytest.mark.parametrize("name", ["iog", "click-lite0", "grabcut", "watershed"])
    @pytest.mark.parametrize("seed", range(3))
    def test_a_click_is_honoured(self, desk: Desk, name: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        inside, outside = rng.integers((62, 52), (98, 78), (2, 4, 2)).tolist()
        if name == "iog":
            inside, outside = inside[:1], []
        prompt = Prompt(corners=CORNERS, positive=tuple(map(tuple, inside)), negative=tuple(map(tuple, outside)))
        if name == "watershed":
            prompt = replace(prompt, corners=None)
        found = desk.select(name, prompt)
        said = " ".join(found.notices)
        for (x, y), wanted in [*((each, True) for each in inside), *((each, False) for each in outside)]:
            assert found.mask.holds(x, y) == wanted or f"({x}, {y}) could not be honoured" in said

    def test_clicks_that_contradict_each_other_are_named(self, desk: Desk) -> None:
        found = desk.select("click-lite0", replace(FIRST, negative=((83, 66),)))
        assert found.notices == ("the click at (83, 66) could not be honoured: another one says the contrary there",)

    def test_an_inside_click_is_not_looked_for_at_a_negative_one(self, desk: Desk) -> None:
        bright = np.full((120, 160, 3), 200, np.uint8)
        found = desk.select("click-lite0", Prompt(corners=CORNERS, negative=((80, 65),)), image=bright)
        ((x, y),) = found.prompt.positive
        assert np.hypot(x - 80, y - 65) >= 8
        assert found.mask.holds(x, y)
        assert not found.mask.holds(80, 65)

    @given(st.lists(st.tuples(st.integers(60, 100), st.integers(50, 80)), max_size=30))
    def test_a_found_inside_click_is_in_the_box_and_on_no_negative_one(self, negative: list[Point]) -> None:
        place = inside_of(BOX, as_points(negative))
        assert BOX.holds(*place)
        assert place not in negative


class TestClicksWithoutABox:
    SCENE = np.zeros((200, 300, 3), np.uint8)
    SCENE[60:100, 80:140] = 200

    @pytest.mark.parametrize("name", ["iog", "click-lite0"])
    def test_an_object_is_found_by_growing_boxes(self, desk: Desk, name: str) -> None:
        found = desk.select(name, Prompt(positive=((110, 80),)), image=self.SCENE)
        assert found.mask.holds(110, 80)
        assert found.mask.box is not None
        box = found.prompt.box
        assert (
            found.notices[0] == f"no box was given: one was found at ({box.x0}, {box.y0}, {box.x1 + 1}, {box.y1 + 1})"
        )
        assert found.candidates[0][1].mask is found.mask
        scores = [score for score, _ in found.candidates]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)

    def test_where_nothing_is_found_it_is_said(self, desk: Desk) -> None:
        found = desk.select("click-lite0", Prompt(positive=((10, 180),)), image=self.SCENE)
        assert "nothing was found but the clicks themselves" in found.notices
        assert found.mask.holds(10, 180)


def test_sizes_that_suit_a_model_less_are_said(desk: Desk) -> None:
    small = desk.select("click-lite0", replace(FIRST, corners=((80, 60), (90, 71))))
    assert small.notices == ("boxes of less than 12 pixels are little to a network; try grabcut or watershed",)


def test_in_a_large_photograph_more_is_shown_around_a_box(desk: Desk) -> None:
    boxed = Prompt(corners=((200, 200), (300, 300)), positive=((250, 250),))
    for side, margin in ((600, 30), (1280, 60)):
        found = desk.select("click-lite0", boxed, image=np.full((side, side, 3), 200, np.uint8))
        assert found.crop is not None
        assert found.crop.box.x0 == 200 - margin


def test_grabcut_that_finds_nothing_says_so(desk: Desk) -> None:
    found = desk.select("grabcut", Prompt(corners=((40, 30), (120, 90))), image=np.zeros((120, 160, 3), np.uint8))
    assert found.mask.box is None
    assert found.notices == ("nothing was found",)
