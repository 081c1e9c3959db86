"""What every engine promises; see `gateway.engines.base.Engine`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.engines.base import Engine, choose
from gateway.errors import DeadlineExceeded, ModelNotFound, ModelNotReady
from gateway.scheduling.timeline import Timeline
from tests.support.trivial import damage_version, label_table, probability_table, write_trivial_model

Factory = Callable[[Path], Engine]
Scenario = Callable[[Engine], Coroutine[Any, Any, None]]


@asynccontextmanager
async def started(engine: Engine) -> AsyncIterator[Engine]:
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def play(engine: Engine, scenario: Scenario) -> None:
    async def run() -> None:
        async with started(engine):
            await scenario(engine)

    asyncio.run(run())


def tiles(items: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 256, (items, 64, 64, 3), np.uint8) for name in ("pre", "post")}


def test_sound_models_are_ready_and_faulty_ones_named(new_engine: Factory, repository: Path) -> None:
    async def scenario(engine: Engine) -> None:
        standing = {status.name: status for status in engine.statuses()}
        assert list(standing) == ["faulty", "pair", "single"]
        assert standing["faulty"].state == "failed"
        assert "card.json" in standing["faulty"].reason
        model = choose(engine, "damage", "pair")
        assert (model.version, model.digest) == (1, model.card.digests["1"])
        with pytest.raises(ModelNotFound):
            choose(engine, "damage", "absent")
        with pytest.raises(ModelNotReady):
            choose(engine, "damage", "faulty")

    play(new_engine(repository), scenario)


@pytest.mark.parametrize("items", [1, 2, 3, 4, 7, 8])
def test_a_batch_of_any_size_is_answered_item_by_item(new_engine: Factory, repository: Path, items: int) -> None:
    async def scenario(engine: Engine) -> None:
        inputs = tiles(items)
        names = ["label_map", "probabilities"]
        answer = await engine.infer(choose(engine, "damage", "pair"), inputs, names, Timeline(30))
        green = inputs["post"][..., 1]
        np.testing.assert_array_equal(answer["label_map"], label_table(5)[green])
        np.testing.assert_array_equal(answer["probabilities"], probability_table(5)[green])

    play(new_engine(repository), scenario)


def test_only_the_outputs_asked_for_are_returned(new_engine: Factory, repository: Path) -> None:
    async def scenario(engine: Engine) -> None:
        inputs = {"pre": tiles(1)["pre"]}
        answer = await engine.infer(choose(engine, "damage", "single"), inputs, ["label_map"], Timeline(30))
        assert list(answer) == ["label_map"]
        assert answer["label_map"].dtype == np.uint8

    play(new_engine(repository), scenario)


def test_concurrent_requests_never_get_each_others_answers(new_engine: Factory, repository: Path) -> None:
    async def scenario(engine: Engine) -> None:
        model = choose(engine, "damage", "pair")

        async def ask(seed: int) -> bool:
            inputs = tiles(1 + seed % 4, seed)
            answer = await engine.infer(model, inputs, ["label_map"], Timeline(30))
            return np.array_equal(answer["label_map"], label_table(5)[inputs["post"][..., 1]])

        seeds = np.random.default_rng(1).permutation(60).tolist()
        assert all(await asyncio.gather(*(ask(seed) for seed in seeds)))

    play(new_engine(repository), scenario)


def test_a_passed_deadline_is_an_error_and_the_next_request_is_unharmed(new_engine: Factory, repository: Path) -> None:
    async def scenario(engine: Engine) -> None:
        model = choose(engine, "damage", "pair")
        late = Timeline(0)
        with pytest.raises(DeadlineExceeded):
            await engine.infer(model, tiles(1), ["label_map"], late)
        assert "label_map" in await engine.infer(model, tiles(1), ["label_map"], Timeline(30))

    play(new_engine(repository), scenario)


def test_a_file_that_is_no_model_does_not_take_the_others_with_it(new_engine: Factory, tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "good")
    damage_version(write_trivial_model(tmp_path, "bad"), 1)

    async def scenario(engine: Engine) -> None:
        states = {status.name: status.state for status in engine.statuses()}
        assert states == {"bad": "failed", "good": "ready"}

    play(new_engine(tmp_path), scenario)
