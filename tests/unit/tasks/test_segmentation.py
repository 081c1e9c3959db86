"""Tiled inference as a whole: no seams, bounded memory, nothing left behind."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.engines.base import Model, Refreshed, Status, Tensors
from gateway.errors import ModelNotReady
from gateway.ops.telemetry import Telemetry
from gateway.ops.timeline import Timeline
from gateway.ops.workers import Workers
from gateway.repository.card import read_card
from gateway.tasks.segmentation import Segmenter
from tests.support.trivial import label_table, probability_table, write_trivial_model

LABELS, PROBABILITIES = label_table(5), probability_table(5)


class TableEngine:
    """Looks the labels up in this thread, so that only the gateway's own memory is measured."""

    name = "table"
    transport = "in-process"

    def __init__(self) -> None:
        self.calls = 0
        self.fail_at = -1

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def refresh(self) -> Refreshed:
        return Refreshed((), (), (), {})

    def statuses(self) -> Sequence[Status]:
        return ()

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        self.calls += 1
        if self.calls == self.fail_at:
            raise ModelNotReady("Gone.")
        await asyncio.sleep(0)
        green = inputs["post"][..., 1]
        tables = {"label_map": LABELS, "probabilities": PROBABILITIES}
        return {name: tables[name][green] for name in outputs}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = write_trivial_model(tmp_path_factory.mktemp("repository"), tile=64, overlap=16)
    return Model(read_card(folder / "card.json"), 1, "sha256:0")


def segment(model: Model, image: NDArray[np.uint8], method: str, engine: TableEngine | None = None) -> Any:
    async def run() -> Any:
        workers = Workers(1, 1)
        segmenter = Segmenter(model, engine or TableEngine(), workers, Telemetry(), Timeline(60))
        try:
            return await getattr(segmenter, method)({"pre": image, "post": image})
        finally:
            workers.close()

    return asyncio.run(run())


@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 9))
def test_a_local_model_gives_the_same_map_tiled_as_whole(model: Model, height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(segment(model, image, "label_map"), LABELS[image[..., 1]])
    labels, sureness = segment(model, image, "label_map_and_confidence")
    np.testing.assert_array_equal(labels, LABELS[image[..., 1]])
    np.testing.assert_array_equal(sureness, PROBABILITIES[image[..., 1]].max(axis=-1))


def test_working_memory_does_not_follow_the_height(model: Model) -> None:
    def working_memory(height: int) -> int:
        image = np.zeros((height, 512, 3), np.uint8)
        tracemalloc.start()
        labels = segment(model, image, "label_map")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak - int(labels.nbytes)

    working_memory(256)  # what is allocated once, by the first run
    short, tall = working_memory(512), working_memory(8192)
    assert tall < 1.3 * short


def test_an_error_in_one_row_ends_the_others(model: Model) -> None:
    engine = TableEngine()
    engine.fail_at = 3
    with pytest.raises(ModelNotReady):
        segment(model, np.zeros((2000, 100, 3), np.uint8), "label_map", engine)
    assert engine.calls <= 5, "rows went on after the failure"
