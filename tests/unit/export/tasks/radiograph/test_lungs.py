"""Lungs are learnt first, then classes by what lies in them; the served graph is both, its saliency over the film."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from export.checkpoints.files import Checkpoint, read_checkpoint
from export.errors import DataError
from export.graphs.contract import graph_of, to_onnx, to_torchscript
from export.networks import build_network
from export.networks.film_lungs import FilmLungs
from export.parity.cases import cases_of
from export.tasks.radiograph.changes import reframe
from export.tasks.radiograph.graph import BOXED
from export.tasks.radiograph.lungs import LungRun, LungSampler, overlap, read_lungs
from export.tasks.radiograph.recipe import RadiographRecipe
from export.tasks.radiograph.samples import Draw
from export.tasks.radiograph.train import train
from export.training.recipe import RunOptions, recipe_of
from tests.support.checkpoints import small_entry, with_statistics

pytestmark = pytest.mark.training

SIZE = 64
TINY = RadiographRecipe(
    network="film_lungs",
    name="tiny",
    width=1 / 8,
    depths="full",
    draw=Draw(4, changes="sources", balanced=True),
    steps=3,
    learning_rate=1e-3,
    size=SIZE,
    part="lungs",
)


@pytest.fixture
def masked(films: Path) -> Path:
    """Return drawn films of which those of two labels have their lungs drawn too, at another size."""
    (films / "lungs").mkdir()
    for file in sorted((films / "images").glob("*.png")):
        if not file.name.startswith("no_finding"):
            lungs = np.zeros((200, 180), np.uint8)
            for x in (54, 126):
                cv2.ellipse(lungs, (x, 100), (28, 72), 0, 0, 360, 255, cv2.FILLED)
            cv2.imwrite(str(films / "lungs" / f"{file.stem.upper()}.jpg"), lungs)
    return films


def test_lungs_are_read_by_name_and_brought_to_their_films(masked: Path) -> None:
    films = read_lungs(masked, "train", SIZE)
    assert len(films) == 24
    drawn = [film for film in films if film.lungs is not None]
    assert len(drawn) == 16
    for film in drawn:
        assert film.lungs is not None
        assert film.lungs.shape == film.pixels.shape == (SIZE, SIZE)
        assert film.pixels[film.lungs > 250].mean() < film.pixels[film.lungs == 0].mean()


def test_films_without_any_lungs_are_refused(films: Path) -> None:
    with pytest.raises(DataError, match="no lungs drawn"):
        read_lungs(films, "train", SIZE)


def test_lungs_move_with_their_film() -> None:
    film = np.zeros((90, 90), np.uint8)
    film[30:60, 20:40] = 200
    for seed in range(8):
        both = reframe(np.random.default_rng(seed), np.dstack([film, film]), SIZE)
        assert both.shape == (SIZE, SIZE, 2)
        within = both[..., 1] > 150
        assert within.any()
        assert both[..., 0][within].min() > 150


def test_samples_are_repeatable(masked: Path) -> None:
    sampler = LungSampler(read_lungs(masked, "train", SIZE), SIZE, 4, seed=1)
    one, again = sampler.batch(3), sampler.batch(3)
    assert np.array_equal(one.films, again.films)
    assert np.array_equal(one.lungs, again.lungs)
    assert one.lungs.shape == (4, SIZE // 2, SIZE // 2)
    assert 0 <= one.lungs.min() < one.lungs.max() <= 1


def test_lungs_are_learnt_and_nothing_else(masked: Path) -> None:
    run = LungRun(replace(TINY, width=1 / 2, learning_rate=1e-2, steps=100), RunOptions())
    before = {name: value.clone() for name, value in run.network.state_dict().items() if "lungs" not in name}
    batch = LungSampler(read_lungs(masked, "train", SIZE), SIZE, 8, 0).batch(0)
    losses = [sum(run.learn(batch).values()) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]
    for name, value in before.items():
        assert torch.equal(value, run.network.state_dict()[name]), name


def test_classes_are_learnt_after_lungs_and_leave_them_as_they_are(masked: Path, tmp_path: Path) -> None:
    first = train(TINY, masked, tmp_path / "lungs", RunOptions())
    found = read_checkpoint(first)
    assert found.data == "16 chest radiographs with drawn lungs"
    assert found.hyperparameters["part"] == "lungs"
    network = found.network()
    assert isinstance(network, FilmLungs)
    assert 0 <= overlap(network, [film for film in read_lungs(masked, "val", SIZE) if film.lungs is not None]) <= 1
    second = read_checkpoint(train(replace(TINY, part="classes"), masked, tmp_path / "run", RunOptions(), first))
    assert "backbone of film_lungs" in str(second.hyperparameters["started_from"])
    for name, value in second.state_dict.items():
        if ".lungs." in name:
            assert torch.equal(value, found.state_dict[name]), name


@pytest.mark.processors
def test_the_served_graph_is_both_networks_and_its_saliency_is_over_the_film() -> None:
    torch.manual_seed(0)
    network = with_statistics(build_network("film_lungs", 1 / 8), torch.rand(8, 3, SIZE, SIZE)).eval()
    made = Checkpoint(
        state_dict=network.state_dict(),
        architecture="film_lungs",
        width=1 / 8,
        reduction=1,
        threshold=0.5,
        recipe="tiny",
        steps=1,
        seconds=1.0,
        device="cpu",
        seed=0,
        data="drawn",
        hyperparameters={},
        size=SIZE,
    )
    entry = small_entry("cxr-lung")
    graph = graph_of(network, made, entry)
    assert graph.outputs[1].shape == (BOXED, BOXED, 2)
    [case] = cases_of(network, [entry], [graph], [{"onnx": to_onnx(graph), "torchscript": to_torchscript(graph)}], 0.5)
    for kind in ("natural", "noise"):
        drawn = case.draw(kind, 3)
        for run in case.runners.values():
            assert case.deviation(case.reference(drawn), run(drawn)).probability_difference <= 2 / 255


def test_the_recipes_are_of_one_network_in_turn() -> None:
    lungs, demo = recipe_of("film_lungs", "lungs"), recipe_of("film_lungs", "demo")
    assert (lungs.part, demo.part) == ("lungs", "classes")
    assert (lungs.width, lungs.size) == (demo.width, demo.size)
