"""Tiled inference as a whole: no seams, bounded memory, nothing left behind."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.errors import ModelNotReady
from gateway.inference.segmenter import Segmenter
from gateway.observability.metrics import Telemetry
from gateway.repository.card import read_card
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from tests.support.table_engine import LABELS, PROBABILITIES, TableEngine
from tests.support.trivial import write_trivial_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = write_trivial_model(tmp_path_factory.mktemp("repository"), tile=64, overlap=16)
    return Model(read_card(folder / "card.json"), 1, "sha256:0")


def segment(model: Model, image: NDArray[np.uint8], method: str, engine: TableEngine | None = None) -> Any:
    async def run() -> Any:
        workers = Workers(Threads("worker", 1))
        segmenter = Segmenter(engine or TableEngine(), workers, Telemetry(), Timeline(60), model=model)
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
    # Of sixteen times the height; how many rows of tiles are there at once is a matter of chance.
    assert tall < 2 * short


def test_an_error_in_one_row_ends_the_others(model: Model) -> None:
    engine = TableEngine()
    engine.fail_at = 3
    with pytest.raises(ModelNotReady):
        segment(model, np.zeros((2000, 100, 3), np.uint8), "label_map", engine)
    assert engine.calls <= 5, "rows went on after the failure"
