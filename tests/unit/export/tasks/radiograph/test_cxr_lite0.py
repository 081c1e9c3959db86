"""Radiographs on the public encoder: grey levels that do not matter, other findings, sources, and a split that asks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from export.checkpoints.files import Checkpoint, read_checkpoint
from export.cli import main
from export.errors import DataError
from export.graphs.contract import graph_of, to_onnx
from export.networks import build_network
from export.parity.cases import cases_of
from export.registry import CATALOG
from export.tasks.radiograph.data import read_radiographs
from export.tasks.radiograph.heldout import look, write_held_out
from export.tasks.radiograph.recipe import RadiographRecipe
from export.tasks.radiograph.samples import Draw, Film, Sampler
from export.tasks.radiograph.train import RadiographRun, train
from export.training.recipe import RunOptions, recipe_of
from tests.support.checkpoints import small_entry, with_statistics

pytestmark = pytest.mark.training

SIZE = 64
TINY = RadiographRecipe(
    network="film_lite0",
    name="tiny",
    width=1 / 16,
    depths="full",
    draw=Draw(6, changes="sources", balanced=True, others=0.5),
    steps=3,
    learning_rate=1e-3,
    size=SIZE,
)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Return a folder of drawn films of two sources, one of them of pneumonia as well."""
    root = tmp_path / "films"
    root.mkdir()
    rows = [("file", "label", "split", "source", "source_url")]
    for index in range(24):
        label = ("covid19", "no_finding", "other_pneumonia")[index % 3]
        film = np.full((90, 90), 60 + 5 * index, np.uint8)
        cv2.circle(film, (45, 45), 10 + 10 * (index % 3), (200,), cv2.FILLED)
        cv2.imwrite(str(root / f"{index}.png"), film)
        split = "val" if index >= 18 else "train"
        rows.append((f"{index}.png", label, split, "here", "https://there" if index % 2 else ""))
    with (root / "labels.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)
    return root


def test_exposure_of_a_film_does_not_matter() -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 3, SIZE, SIZE)
    network = with_statistics(build_network("film_lite0", 1 / 8), images).eval()
    with torch.inference_mode():
        torch.testing.assert_close(network(0.3 + 0.5 * images), network(images), rtol=1e-3, atol=1e-3)
        assert torch.isfinite(network(torch.zeros(1, 3, SIZE, SIZE))).all()


def test_the_served_graph_is_what_was_trained() -> None:
    torch.manual_seed(0)
    network = with_statistics(build_network("film_lite0", 1 / 8), torch.rand(8, 3, SIZE, SIZE)).eval()
    made = Checkpoint(
        state_dict=network.state_dict(),
        architecture="film_lite0",
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
    entry = small_entry("cxr-lite0")
    graph = graph_of(network, made, entry)
    assert graph.outputs[1].shape == (2, 2, 2)
    [case] = cases_of(network, [entry], [graph], [{"onnx": to_onnx(graph)}], 0.5)
    drawn = case.draw("natural", 2)
    assert case.deviation(case.reference(drawn), case.runners["onnx"](drawn)).probability_difference <= 2 / 255


def test_a_run_is_shown_other_findings_and_says_so(films: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(train(TINY, films, tmp_path / "run", RunOptions()))
    assert checkpoint.data == "18 labelled chest radiographs (6 COVID-19, 6 NORMAL, 6 of other findings)"
    assert checkpoint.hyperparameters["others"] == 0.5
    alone = replace(TINY, draw=replace(TINY.draw, others=0.0))
    assert "other findings" not in read_checkpoint(train(alone, films, tmp_path / "alone", RunOptions())).data


def test_other_findings_are_learnt_as_the_recipe_says() -> None:
    run = RadiographRun(replace(TINY, other_covid=0.1), RunOptions())
    truth = run.truth(np.array([0, 1, -1]))
    torch.testing.assert_close(truth, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]]))


def test_without_other_findings_none_can_be_drawn() -> None:
    films = [Film(np.zeros((90, 90), np.uint8), value) for value in (0, 1)]
    assert set(Sampler(films, SIZE, Draw(8, changes="jitter"), 0).batch(0).values) == {0, 1}
    with pytest.raises(ValueError, match="nothing else to show"):
        Sampler(films, SIZE, TINY.draw, 0)


def test_small_collections_are_drawn_more_often_where_the_draw_says_so() -> None:
    many = [Film(np.full((90, 90), 10, np.uint8), 0, "many") for _ in range(9)]
    films = [*many, Film(np.full((90, 90), 250, np.uint8), 0, "one"), Film(np.zeros((90, 90), np.uint8), 1)]
    bright = {}
    for balance in (0.0, 1.0):
        batch = Sampler(films, SIZE, Draw(200, changes="jitter", balanced=True, balance=balance), 0).batch(0)
        bright[balance] = int((batch.films.mean(axis=(1, 2)) > 128).sum())
    assert bright[0.0] < 25
    assert bright[1.0] > 30


def test_the_split_holds_out_a_source_wherever_it_is_named_and_another_look(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "held"
    assert main(["hold-out", str(films), "--source", "https://there", "--out", str(out)]) == 0
    found = {int(film.file.stem): film for film in read_radiographs(out)}
    assert sorted(found) == list(range(18))
    assert {index for index, film in found.items() if film.split == "val" and film.value == 0} == {3, 9, 15}
    normal = [index for index, film in found.items() if film.value == 1 and film.split == "val"]
    assert all(found[index].split == "neither" for index in (5, 11, 17))
    assert set(normal) <= {4, 10, 16, 1, 7, 13}
    with pytest.raises(DataError, match="no source 'nowhere'"):
        write_held_out(films, tmp_path / "none", "nowhere")


def test_a_look_tells_exposure_and_frames() -> None:
    plain, framed = np.full((90, 90), 120, np.uint8), np.full((90, 90), 120, np.uint8)
    framed[:, :8] = 0
    assert np.abs(look(plain) - look(framed))[-4:].argmax() == 2
    assert look(plain)[:-4].sum() == pytest.approx(1)


def test_the_recipes_differ_in_what_other_findings_mean() -> None:
    recipes = [recipe_of("film_lite0", name) for name in ("alone", "even", "against")]
    assert [(each.draw.others, each.other_covid) for each in recipes] == [(0.0, 0.5), (0.3, 0.5), (0.3, 0.1)]
    assert all(each.pretrained for each in recipes)
    assert CATALOG["cxr-lite0"].task == "radiograph"
