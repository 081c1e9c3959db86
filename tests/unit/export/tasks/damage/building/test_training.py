"""Buildings are read one by one, samples are repeatable, and a network of crops learns what is there to learn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from export.checkpoints.files import read_checkpoint
from export.cli import main
from export.evaluation.engine import UNSAVED, Bench, Served
from export.tasks.damage.building.data import footprints, read_town
from export.tasks.damage.building.evaluate import best_constant, confusion, metrics
from export.tasks.damage.building.recipe import CropRecipe
from export.tasks.damage.building.samples import Draw, Sampler
from export.tasks.damage.building.train import train
from export.tasks.damage.data import read_pairs
from export.tasks.damage.metrics import harmonic_mean
from export.training.recipe import RunOptions, recipe_of
from gateway.engines.base import Model
from gateway.repository.card import read_card
from tests.support.trivial_crops import write_trivial_crops
from tests.unit.export.tasks.damage.test_data import document, square

pytestmark = [pytest.mark.processors, pytest.mark.training]

TINY = CropRecipe(
    network="cnn",
    name="tiny",
    width=1 / 32,
    draw=Draw(32, 16),
    steps=4,
    learning_rate=3e-3,
    depths="resnet26",
    average=0.8,
)

GROUND = np.array([(180, 180, 180), (220, 40, 40), (40, 220, 40), (40, 40, 220), (0, 0, 0)], np.uint8)
"""Colour of the ground around houses of each grade, and below them all."""

Pixels = NDArray[np.uint8]


def labels() -> Pixels:
    """Return a label map with three houses of each grade, one of unknown damage, and a speck."""
    drawn = np.zeros((120, 160), np.uint8)
    for grade in range(4):
        for column in range(3):
            drawn[6 + 28 * grade : 18 + 28 * grade, 10 + 40 * column : 22 + 40 * column] = grade + 1
    drawn[100:112, 130:142] = 255
    drawn[2:4, 2:4] = 1
    return drawn


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three pairs whose ground has the colour of its houses' grade."""
    root = tmp_path_factory.mktemp("data")
    for kind in ("images", "masks", "labels_xbd_json"):
        (root / kind).mkdir()
    rows = ["tile,split,event,image_format"]
    for index, split in enumerate(("train", "train", "val")):
        tile = f"storm_{index:08d}"
        rows.append(f"{tile},{split},storm,png")
        post = np.repeat(np.repeat(GROUND, 28, axis=0)[:120, None, ::-1], 160, axis=1)
        for role in ("pre", "post"):
            cv2.imwrite(str(root / "images" / f"{tile}_{role}_disaster.png"), post)
        cv2.imwrite(str(root / "masks" / f"{tile}_post_disaster.png"), labels())
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    features = ((f"POLYGON ({square(10.5, 30)})", "destroyed"), (f"POLYGON ({square(40, 60)})", "un-classified"))
    json_file = root / "labels_xbd_json" / "storm_00000000_post_disaster.json"
    json_file.write_text(json.dumps(document(*features)))
    return root


def test_regions_of_the_label_map_are_buildings() -> None:
    found = list(footprints(labels()))
    assert [value for _, value in found] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    assert found[0][0] == (10, 6, 22, 18)


def test_polygons_are_taken_where_they_are(data: Path) -> None:
    first, second, _ = read_pairs(data)
    town = read_town(first)
    assert (town.boxes, town.grades) == (((10.5, 10.5, 30, 30),), (3,))
    assert len(read_town(second).boxes) == 12
    assert town.post.shape == (120, 160, 3)


def test_batches_depend_on_seed_and_step_alone(data: Path) -> None:
    town = read_town(read_pairs(data)[1])
    first, again, later = (Sampler([town], TINY.draw, seed=0).batch(step) for step in (3, 3, 4))
    assert (first.crops == again.crops).all()
    assert (first.crops != later.crops).any()
    assert first.crops.shape == (16, 32, 32, 3)
    assert first.grades.shape == (16,)


def test_rare_grades_are_drawn_as_often_as_common_ones(data: Path) -> None:
    town = read_town(read_pairs(data)[1])
    rare = replace(town, boxes=town.boxes[:4], grades=town.grades[:4])
    grades = np.concatenate([Sampler([rare], TINY.draw, seed=0).batch(step).grades for step in range(10)])
    assert 0.35 < np.mean(grades == 1) < 0.65
    any_building = replace(TINY.draw, balanced=0.0)
    grades = np.concatenate([Sampler([rare], any_building, seed=0).batch(step).grades for step in range(10)])
    assert 0.15 < np.mean(grades == 1) < 0.35


def test_nothing_to_learn_from_is_refused(data: Path) -> None:
    town = replace(read_town(read_pairs(data)[1]), boxes=(), grades=())
    with pytest.raises(ValueError, match="no building is graded"):
        Sampler([town], TINY.draw, seed=0)


def test_figures_count_buildings(data: Path, tmp_path: Path) -> None:
    town = read_town(read_pairs(data)[1])

    def grader(batches: Sequence[Pixels]) -> tuple[NDArray[np.float32]]:
        [crops] = batches
        assert crops.shape[1:] == (24, 24, 3)
        distance = np.abs(crops.mean(axis=(1, 2))[:, None] - GROUND[:3]).sum(axis=2)
        scores: NDArray[np.float32] = np.eye(4, dtype=np.float32)[distance.argmin(axis=1)]
        return (scores,)

    card = read_card(write_trivial_crops(tmp_path, size=24, grow=0.2) / "card.json")
    with Bench([Served(Model(card, 1, UNSAVED), grader)]) as bench:
        counts = confusion(bench, bench.only, [town, town])
    assert counts.tolist() == [[6, 0, 0, 0], [0, 6, 0, 0], [0, 0, 6, 0], [6, 0, 0, 0]]
    found = metrics(counts)
    assert found["accuracy"] == 0.75
    assert found["no-damage_f1"] == pytest.approx(2 / 3)
    assert found["damage_f1_harmonic_mean"] == pytest.approx(harmonic_mean([2 / 3, 1, 1, 0]))
    assert best_constant(counts).tolist() == [[6, 0, 0, 0]] * 4


def test_a_network_learns_and_is_evaluated(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Colours tell the grades apart, and a hundred steps tell every house; one house in four may still be wrong."""
    file = train(replace(TINY, width=1 / 8, steps=100), data, tmp_path, RunOptions())
    checkpoint = read_checkpoint(file)
    assert (checkpoint.architecture, checkpoint.depths, checkpoint.size) == ("cnn", "resnet26", 32)
    assert checkpoint.data.startswith(
        "13 buildings (3 no-damage, 3 minor-damage, 3 major-damage, 4 destroyed) of 2 xBD"
    )
    history = json.loads((tmp_path / "history.json").read_text())
    losses = [row["loss entropy"] for row in history]
    assert losses[-1] < 0.5 * np.log(4), "in the second half of the run, half of what knowing nothing costs"
    figures = tmp_path / "figures.json"
    assert main(["evaluate", str(file), "--data", str(data), "--out", str(figures)]) == 0
    told = capsys.readouterr().out
    assert "buildings, truth down" in told
    [measured] = json.loads(figures.read_text())["figures"]
    assert measured["baseline_name"] == "no-damage for every building"
    assert measured["metrics"]["accuracy"] >= 0.75
    assert measured["baseline"]["accuracy"] == 0.25


def test_a_resumed_run_is_the_same_run(data: Path, tmp_path: Path) -> None:
    whole = read_checkpoint(train(TINY, data, tmp_path / "whole", RunOptions()))
    train(TINY, data, tmp_path / "parts", RunOptions(minutes=1e-9))
    parts = read_checkpoint(train(TINY, data, tmp_path / "parts", RunOptions()))
    assert parts.steps == whole.steps == 4
    assert all((parts.state_dict[key] == whole.state_dict[key]).all() for key in whole.state_dict)


def test_drawn_scenes_teach_where_there_are_no_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 256)
    recipe = replace(TINY, steps=1, scenes=1)
    assert "1 drawn scenes" in read_checkpoint(train(recipe, None, tmp_path, RunOptions())).data


def test_the_papers_choices() -> None:
    paper = recipe_of("cnn", "paper")
    assert (paper.width, paper.depths, paper.draw.batch, paper.learning_rate, paper.epochs) == (
        1,
        "resnet50",
        32,
        1e-3,
        10,
    )
    with pytest.raises(ValueError, match="no recipe 'quick'"):
        recipe_of("cnn", "quick")


def test_epochs_become_steps(data: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, steps=0, epochs=3, draw=Draw(32, 4))
    assert read_checkpoint(train(recipe, data, tmp_path, RunOptions())).steps == 3 * 13 // 4
