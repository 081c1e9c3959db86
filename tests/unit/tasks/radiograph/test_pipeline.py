"""A film shown to several models: side by side, averaged, and nothing left running when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.engines.base import Model, Refreshed, Status, Tensors
from gateway.errors import ModelNotFound, ModelNotReady, ParameterInvalid
from gateway.inference.segmenter import Segmenter, together
from gateway.observability.metrics import Telemetry
from gateway.repository.card import read_card
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.radiograph.pipeline import FilmReport, Panel, choose_panel, explain_film, score_film
from gateway.vision.radiographs import to_tile
from tests.support.trivial_radiograph import write_trivial_radiograph

Scores = dict[str, list[float]]
FILM = np.random.default_rng(0).integers(0, 256, (50, 70), np.uint8)
CELLS = 4


class ScoringEngine:
    """Answers with the scores given per model once it was asked for all of them."""

    name = "scoring"
    transport = "in-process"

    def __init__(self, scores: Scores, failing: str = "") -> None:
        self.scores = scores
        self.failing = failing
        self.shown: dict[str, NDArray[np.uint8]] = {}
        self.asked: list[tuple[str, ...]] = []
        self.cancelled: list[str] = []
        self.all_asked = asyncio.Event()

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def refresh(self) -> Refreshed:
        return Refreshed((), (), (), {})

    def statuses(self) -> Sequence[Status]:
        return ()

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        self.shown[model.name] = inputs["image"]
        self.asked.append(tuple(outputs))
        if len(self.shown) == len(self.scores):
            self.all_asked.set()
        try:
            if model.name == self.failing:
                raise ModelNotReady("Gone.")
            # One after the other, the second would never be asked.
            async with asyncio.timeout(5):
                await self.all_asked.wait()
            if self.failing:
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.append(model.name)
            raise
        made: dict[str, Any] = {
            "scores": np.array([self.scores[model.name]], np.float32),
            "saliency": np.full((1, CELLS, CELLS, 2), [[[[40 * len(self.asked), 7]]]], np.uint8),
        }
        return {name: made[name] for name in outputs}


class Repository:
    """An engine that only tells how models stand."""

    tried = True
    unloaded: ClassVar[set[str]] = set()

    def __init__(self, *statuses: Status) -> None:
        self._statuses = statuses

    def statuses(self) -> Sequence[Status]:
        return self._statuses


@pytest.fixture
def model_of(tmp_path: Path) -> Callable[..., Model]:
    def make(name: str, **options: Any) -> Model:
        card = read_card(write_trivial_radiograph(tmp_path, name, cells=CELLS, **options) / "card.json")
        return Model(card, 1, card.digests["1"])

    return make


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(Threads("worker", 2))
    yield pool
    pool.close()


Judge = Callable[..., Awaitable[FilmReport]]


def shown_to(judge: Judge, panel: Panel, engine: Any, workers: Workers, threshold: float | None = None) -> FilmReport:
    telemetry, timeline = Telemetry(), Timeline(30)

    def segmenter(model: Model) -> Segmenter:
        return Segmenter(engine, workers, telemetry, timeline, model=model)

    async def run() -> FilmReport:
        return await judge(panel, segmenter, FILM, threshold)

    return asyncio.run(run())


def test_models_are_asked_side_by_side_and_averaged(model_of: Callable[..., Model], workers: Workers) -> None:
    panel = Panel("ensemble", (model_of("a"), model_of("b", size=48), model_of("c")))
    engine = ScoringEngine({"a": [0.9, 0.1], "b": [0.3, 0.7], "c": [0.6, 0.4]})
    report = shown_to(score_film, panel, engine, workers)
    assert report.verdict.scores.tolist() == pytest.approx([0.6, 0.4])
    assert [opinion.model.name for opinion in report.opinions] == ["a", "b", "c"]
    assert [opinion.verdict.value for opinion in report.opinions] == [0, 1, 0]
    assert [opinion.evidence for opinion in report.opinions] == [None] * 3
    assert engine.asked == [("scores",)] * 3
    for name, size in (("a", 32), ("b", 48), ("c", 32)):
        np.testing.assert_array_equal(engine.shown[name], to_tile(FILM, size)[None])


def test_when_one_fails_the_others_are_not_left_running(model_of: Callable[..., Model], workers: Workers) -> None:
    engine = ScoringEngine({"a": [1, 0], "b": [1, 0], "c": [1, 0]}, failing="b")
    with pytest.raises(ModelNotReady):
        shown_to(score_film, Panel("ensemble", tuple(map(model_of, "abc"))), engine, workers)
    assert set(engine.cancelled) <= {"a", "c"}
    assert set(engine.cancelled) == set(engine.shown) - {"b"}


def test_the_evidence_of_all_is_averaged_per_class(model_of: Callable[..., Model], workers: Workers) -> None:
    engine = ScoringEngine({"a": [1, 0], "b": [1, 0]})
    report = shown_to(explain_film, Panel("ensemble", tuple(map(model_of, "ab"))), engine, workers)
    assert report.evidence(0, 50, 70).shape == (50, 70)
    assert np.unique(report.evidence(1, 50, 70)).tolist() == [7]
    assert engine.asked == [("scores", "saliency")] * 2


@pytest.mark.parametrize(
    ("card", "request_", "expected"), [(None, None, 0.5), (0.3, None, 0.3), (0.3, 0.8, 0.8), (None, 0.8, 0.8)]
)
def test_the_threshold_is_the_requests_or_the_cards_or_a_half(
    model_of: Callable[..., Model], workers: Workers, card: float | None, request_: float | None, expected: float
) -> None:
    model = model_of("a", threshold=card)
    for probability, value in ((expected, 0), (expected - 0.01, 1)):
        engine = ScoringEngine({"a": [probability + 1e-6, 1 - probability]})
        report = shown_to(score_film, Panel("a", (model,)), engine, workers, request_)
        assert (report.verdict.threshold, report.verdict.value) == (expected, value)
    engine = ScoringEngine({"a": [0.5, 0.5]})
    ensemble = shown_to(score_film, Panel("ensemble", (model,)), engine, workers, request_)
    assert ensemble.verdict.threshold == (request_ or 0.5), "several models have no threshold in common"


def test_the_panel_is_of_what_is_ready_and_newest(model_of: Callable[..., Model]) -> None:
    a, b, c = map(model_of, "abc")
    repository: Any = Repository(
        Status("a", "ready", model=a), Status("b", "loading", model=b), Status("broken", "failed"),
        Status("c", "ready", model=c),
    )  # fmt: skip
    panel = choose_panel(repository, "ensemble")
    assert (panel.models, panel.absent) == ((a, c), ("b",))
    assert choose_panel(repository, "c").models == (c,)
    assert panel.value_of("NORMAL") == 1
    with pytest.raises(ParameterInvalid):
        panel.value_of("normal")
    with pytest.raises(ParameterInvalid):
        choose_panel(repository, "ensemble", 1)
    with pytest.raises(ModelNotReady):
        choose_panel(repository, "b")
    with pytest.raises(ModelNotFound, match="ensemble"):
        choose_panel(repository, "d")


def test_no_model_and_none_that_is_ready_are_told_apart(model_of: Callable[..., Model]) -> None:
    none: Any = Repository()
    with pytest.raises(ModelNotFound):
        choose_panel(none, "ensemble")
    loading: Any = Repository(Status("a", "loading", model=model_of("a")))
    with pytest.raises(ModelNotReady):
        choose_panel(loading, "ensemble")


def test_together_returns_results_in_order_and_passes_the_first_error_on() -> None:
    async def after(seconds: float, result: int) -> int:
        await asyncio.sleep(seconds)
        if result < 0:
            raise ModelNotReady("Gone.")
        return result

    async def run(*steps: tuple[float, int]) -> tuple[list[int] | None, int]:
        try:
            return await together(after(*step) for step in steps), len(asyncio.all_tasks())
        except ModelNotReady:
            return None, len(asyncio.all_tasks())

    assert asyncio.run(run((0.02, 1), (0, 2), (0.01, 3))) == ([1, 2, 3], 1)
    assert asyncio.run(run((60, 1), (0, -1), (60, 3))) == (None, 1)
    assert asyncio.run(run()) == ([], 1)
