"""Interactive models on every engine: the crop and its clicks, and the way over features."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.engines.base import Engine, Tensors, choose
from gateway.scheduling.timeline import Timeline
from gateway.vision.clicks import as_points, click_map
from tests.support.trivial_interactive import (
    NAMES,
    probability_of,
    write_interactive_version,
    write_trivial_interactive,
)

Factory = Callable[[Path], Engine]
SIZE = 32
CORNERS = as_points([(6, 6), (25, 6), (25, 25), (6, 25)])


@pytest.fixture(scope="session")
def interactive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with every interactive model, the refinement in two versions."""
    root = write_trivial_interactive(tmp_path_factory.mktemp("interactive"), max_batch_size=3)
    for name in ("click-lite0", "click-lite0-encoder"):
        write_interactive_version(root / name, 2, cap=100)
    return root


def play(engine: Engine, scenario: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await engine.start()
        try:
            await scenario(engine)
        finally:
            await engine.close()

    asyncio.run(run())


def crops(items: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (items, SIZE, SIZE, 3), np.uint8)


def maps(
    items: int, *outside: tuple[float, float], inside: tuple[tuple[float, float], ...] = ((16, 16),)
) -> np.ndarray:
    """Return `items` times the click maps of the corners, `inside` and more `outside`."""
    both = np.concatenate([CORNERS, as_points(outside)])
    one = np.stack([click_map(points, SIZE, 0.625) for points in (as_points(inside), both)], axis=-1)
    return np.repeat(one[None], items, axis=0)


def expected(crop: np.ndarray, clicks: np.ndarray, cap: int = 255) -> np.ndarray:
    return np.stack([probability_of(*pair, cap) for pair in zip(crop, clicks, strict=True)])


async def ask(engine: Engine, name: str, inputs: Tensors, version: int | None = None) -> Tensors:
    task = "interactive-encoder" if name.endswith("encoder") else "interactive"
    model = choose(engine, task, name, version)
    return await engine.infer(model, inputs, [spec.name for spec in model.card.outputs], Timeline(30))


@pytest.mark.parametrize("items", [1, 3, 7])
def test_a_crop_and_its_clicks_give_a_probability(new_engine: Factory, interactive: Path, items: int) -> None:
    async def scenario(engine: Engine) -> None:
        assert [status.name for status in engine.statuses() if status.state == "ready"] == list(NAMES)
        crop, clicks = crops(items), maps(items)
        answer = await ask(engine, "iog", {"crop": crop, "clicks": clicks})
        np.testing.assert_array_equal(answer["probability"], expected(crop, clicks))
        answer = await ask(engine, "dextr", {"crop": crop, "clicks": clicks[..., 1:]})
        np.testing.assert_array_equal(answer["probability"], expected(crop, clicks[..., 1:]))
        assert answer["probability"].any()

    play(new_engine(interactive), scenario)


@pytest.mark.parametrize("items", [1, 2, 3, 7])
def test_further_clicks_run_on_the_features_of_the_first(new_engine: Factory, interactive: Path, items: int) -> None:
    async def scenario(engine: Engine) -> None:
        crop, first = crops(items), maps(items)
        features = await ask(engine, "click-lite0-encoder", {"crop": crop, "clicks": first}, 1)
        assert {str(feature.dtype) for feature in features.values()} == {"float16"}
        further = maps(items, (14, 14), inside=((16, 16), (20, 12)))
        for clicks in (first, further):
            answer = await ask(engine, "click-lite0", {**features, "clicks": clicks}, 1)
            np.testing.assert_array_equal(answer["probability"], expected(crop, clicks))
        other = await ask(engine, "click-lite0", {**features, "clicks": maps(items, inside=((10, 10),))}, 1)
        assert not other["probability"].any(), "the first click is missing"

    play(new_engine(interactive), scenario)


def test_each_version_of_a_head_answers_over_its_own_encoder(new_engine: Factory, interactive: Path) -> None:
    async def scenario(engine: Engine) -> None:
        crop, clicks = crops(2), maps(2)
        for version, cap in ((1, 255), (2, 100), (None, 100)):
            features = await ask(engine, "click-lite0-encoder", {"crop": crop, "clicks": clicks}, version)
            answer = await ask(engine, "click-lite0", {**features, "clicks": clicks}, version)
            np.testing.assert_array_equal(answer["probability"], expected(crop, clicks, cap))

    play(new_engine(interactive), scenario)
