"""Models of damage that take rasters of the ground, on every engine: some known, some in part, some not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export.build import build
from export.checkpoints.files import read_checkpoint
from export.evaluation.engine import Bench, of_checkpoint
from export.registry import CATALOG
from export.synthetic.towns import DrawnPair
from export.tasks.damage.recipe import PairRecipe
from export.tasks.damage.samples import Draw
from export.tasks.damage.train import train
from export.training.recipe import RunOptions
from gateway.engines.base import Engine, Model, choose
from gateway.inference.segmenter import Run
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.damage.pipeline import Rasters, map_damage, segmenter_of
from tests.support.checkpoints import small_entry
from tests.support.pictures import noise
from tests.support.trivial_rasters import write_trivial_rasters

Factory = Callable[[Path], Engine]
UInt8 = NDArray[np.uint8]


def mapped(engine: Engine, name: str, pre: UInt8, post: UInt8, rasters: Rasters) -> UInt8:
    """Return the label map that a model makes of a pair on an engine."""

    async def run() -> UInt8:
        workers = Workers(Threads("worker", 2))
        await engine.start()
        try:
            model: Model = choose(engine, "damage", name)
            segmenter = segmenter_of(Run(engine, workers, Telemetry(), Timeline(60)), model)
            return (await map_damage(segmenter, pre, post, rasters=rasters)).label_map
        finally:
            await engine.close()
            workers.close()

    return asyncio.run(run())


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a model that labels by heights above ground, and one that labels by land cover."""
    root = tmp_path_factory.mktemp("tables")
    for shown in ("surface", "landcover"):
        write_trivial_rasters(root, f"by-{shown}", shown)
    return root


def test_rasters_reach_the_graph_tile_by_tile_and_what_is_not_given_is_missing(
    new_engine: Factory, tables: Path
) -> None:
    pre, post = noise(100, 130, seed=1), noise(100, 130, seed=2)
    y, x = np.mgrid[:100, :130] // 10
    heights = (1 + (x + y) % 4).astype(np.float32)
    expected = heights.astype(np.uint8)
    heights[:20] = np.nan
    expected[:20] = 0
    np.testing.assert_array_equal(mapped(new_engine(tables), "by-surface", pre, post, {"surface": heights}), expected)
    classes = ((x + y) % 3).astype(np.uint8)
    found = mapped(new_engine(tables), "by-landcover", pre, post, {"landcover": classes, "surface": heights})
    np.testing.assert_array_equal(found, classes + 1)
    assert not mapped(new_engine(tables), "by-surface", pre, post, {"landcover": classes}).any()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the checkpoint of a tiny network that was trained on a drawn scene, and a repository with its model."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = PairRecipe(
        network="siamunet_terrain",
        name="tiny",
        width=1 / 32,
        reduction=2,
        draw=Draw(64, 2, known=0.7, anywhere=0.0),
        steps=12,
        learning_rate=1e-2,
        scenes=1,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("export.synthetic.towns.SIZE", 128)
        source = train(recipe, None, folder / "run", RunOptions())
    build(source, [small_entry("bd-terrain")], folder / "models")
    return source, folder / "models"


@pytest.mark.training
def test_a_trained_network_answers_on_every_engine_as_torch_does(
    new_engine: Factory, trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, root = trained
    monkeypatch.setattr("export.synthetic.towns.SIZE", 128)
    monkeypatch.setitem(CATALOG, "bd-terrain", small_entry("bd-terrain"))
    pair = DrawnPair(1007)
    pre, post, terrain = pair.read_pre(), pair.read_post(), pair.read_terrain()
    surface = terrain.surface_after.copy()
    surface[:50] = np.nan
    known: Rasters = {"elevation": terrain.elevation, "surface": surface, "landcover": terrain.landcover}
    nothing: Rasters = {}
    for rasters in (nothing, known):
        with Bench(of_checkpoint(read_checkpoint(source))) as bench:
            truth = bench.answer(map_damage(segmenter_of(bench.run, bench.only), pre, post, rasters=rasters)).label_map
        found = mapped(new_engine(root), "bd-terrain", pre, post, rasters)
        assert (found == truth).mean() > 0.995
