"""The commands, as they are typed."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import cv2
import pytest
import torch
from maskgate_client.scenes import draw_scene

from export.checkpoints.files import read_checkpoint
from export.cli import main
from export.evaluation.figures import read_measurement
from export.registry import CATALOG
from export.training.recipe import RunOptions
from gateway.repository.store import scan
from tests.support.checkpoints import small_entry, untrained, write
from tests.support.places import ROOT
from tests.support.trivial import write_trivial_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with one training and two validation pairs of 96² pixels, larger than one small tile."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    with (root / "manifest.csv").open("w", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow(("tile", "event", "split", "image_format"))
        for seed, split in enumerate(("train", "val", "val")):
            tile = f"storm_{seed:08}"
            manifest.writerow((tile, "storm", split, "png"))
            scene = draw_scene(seed, 96)
            for role, image in (("pre", scene.pre), ("post", scene.post)):
                cv2.imwrite(str(root / "images" / f"{tile}_{role}_disaster.png"), image[..., ::-1])
            cv2.imwrite(str(root / "masks" / f"{tile}_post_disaster.png"), scene.labels)
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Return a folder in which foreign weights went through import, evaluate and build."""
    folder = tmp_path_factory.mktemp("built")
    torch.save({"state_dict": untrained("fcn").state_dict()}, folder / "foreign.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CATALOG, "bd-fcn", small_entry("bd-fcn"))
        commands = (
            f"import {folder}/foreign.pth --architecture fcn --reduction 2 --threshold 0.5 --out {folder}/model.pt",
            f"evaluate {folder}/model.pt --data {data} --out {folder}/figures.json",
            f"build {folder}/model.pt --repository {folder}/repository --figures {folder}/figures.json",
        )
        assert [main(command.split()) for command in commands] == [0, 0, 0]
    return folder


@pytest.fixture(autouse=True)
def _small_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "bd-fcn", small_entry("bd-fcn"))


def test_foreign_weights_become_a_served_model_with_figures(built: Path) -> None:
    card = scan(built / "repository").models["bd-fcn"].card
    [figures] = card.figures
    assert (figures.split, figures.images, figures.baseline_name) == ("val", 2, "building everywhere")
    assert figures.metrics.keys() == figures.baseline.keys()
    assert sum(map(sum, figures.confusion)) == 2 * 96 * 96
    assert figures.baseline["localisation_recall"] == 1
    assert card.licence == "unstated"


@pytest.mark.processors
def test_a_model_and_its_checkpoint_measure_alike(
    built: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    assert main(["evaluate", str(built / "repository" / "bd-fcn"), "--data", str(data), "--out", str(out)]) == 0
    # The exported file keeps its weights in half precision.
    one, other = (read_measurement(path) for path in (out, built / "figures.json"))
    assert one.source_digest == other.source_digest
    assert one.figures[0].metrics == pytest.approx(other.figures[0].metrics, abs=0.01)
    printed = capsys.readouterr().out
    assert "val: 2 images" in printed
    assert "building everywhere" in printed
    assert all(name in printed for name in ("localisation_f1", "localisation_iou", "localisation_recall"))


def test_damage_models_report_every_metric(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "bd-siamunet", small_entry("bd-siamunet"))
    source = write(tmp_path / "model.pt", "siamunet")
    assert main(["evaluate", str(source), "--data", str(data), "--out", str(tmp_path / "figures.json")]) == 0
    [figures] = json.loads((tmp_path / "figures.json").read_text())["figures"]
    classes = ("no-damage", "minor-damage", "major-damage", "destroyed")
    wanted = {f"{name}_{metric}" for name in classes for metric in ("f1", "iou", "precision", "recall")}
    wanted |= {f"localisation_{metric}" for metric in ("f1", "iou", "precision", "recall", "accuracy")}
    wanted |= {"damage_f1_harmonic_mean", "xview2_score", "pixel_accuracy"}
    assert figures["metrics"].keys() == figures["baseline"].keys() == wanted
    assert [len(row) for row in figures["confusion"]] == [5] * 5


def test_a_split_without_pairs_is_an_error(built: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(built / "model.pt"), "--data", str(data), "--split", "hold"]) == 1
    assert "has no pair in the split 'hold'" in capsys.readouterr().err


def test_an_unsound_model_is_not_evaluated(
    built: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = copytree(built / "repository", tmp_path / "repository")
    (repository / "bd-fcn" / "labels.txt").unlink()
    assert main(["evaluate", str(repository / "bd-fcn"), "--data", str(data)]) == 1
    assert "evaluate: bd-fcn is not a sound model: labels.txt is missing" in capsys.readouterr().err


def test_verify_says_what_is_sound(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(built / "repository"), "--checkpoint", str(built / "model.pt")]) == 0
    assert capsys.readouterr().out == "bd-fcn: sound\n"


def test_verify_names_each_problem_and_fails(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = copytree(built / "repository", tmp_path / "repository")
    (repository / "bd-fcn" / "1" / "model.onnx").write_bytes(b"other bytes")
    (repository / "empty").mkdir()
    assert main(["verify", str(repository)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "bd-fcn: the digest of 1/model.onnx is not the one in the card",
        "empty: card.json is missing",
    ]


def test_an_empty_repository_is_not_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 1
    assert "no models" in capsys.readouterr().err


def test_a_missing_repository_is_an_error_without_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "absent")]) == 1
    assert capsys.readouterr().err.startswith("verify: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("build {0}/text.pt", "build: text.pt is damaged"),
        ("import {0}/text.pt --architecture fcn --out {0}/model.pt", "import: text.pt is damaged"),
        ("build {0}/absent.pt", "build: absent.pt does not exist"),
        ("build {1}/model.pt --figures {0}/text.pt --repository {0}", "build: text.pt holds no figures"),
        ("evaluate {1}/model.pt --data {0}", "evaluate: no image pair in "),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, built: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    (tmp_path / "text.pt").write_text("text")
    assert main(arguments.format(tmp_path, built).split()) == 1
    assert capsys.readouterr().err.startswith(message)
    assert [path.name for path in tmp_path.iterdir()] == ["text.pt"]


@pytest.mark.parametrize(
    "arguments", ["--reduction 0", "--threshold 0", "--threshold 1", "--threshold nan", "--width x"]
)
def test_values_out_of_range_are_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["import", "model.pt", "--architecture", "fcn", "--out", "out.pt", *arguments.split()])
    assert arguments.split()[0] in capsys.readouterr().err


def test_import_keeps_what_it_is_told(built: Path, tmp_path: Path) -> None:
    command = f"import {built}/foreign.pth --architecture fcn --data survey --licence MIT --out {tmp_path}/model.pt"
    assert main(command.split()) == 0
    checkpoint = read_checkpoint(tmp_path / "model.pt")
    assert (checkpoint.data, checkpoint.licence, checkpoint.reduction) == ("survey", "MIT", 1)
    assert checkpoint.threshold is None


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return the calls of the training loop, which does nothing here; its own tests run it."""
    calls: list[tuple[Any, ...]] = []

    def train(recipe: Any, data: Any, out: Path, options: RunOptions, start: Path | None) -> Path:
        calls.append((recipe, data, out, options))
        return out / "model.pt"

    monkeypatch.setattr("export.tasks.damage.train.train", train)
    return calls


def test_train_passes_its_options_on(training: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    options = "--data xbd --scenes 7 --minutes 2.5 --device cuda --seed 3 --no-resume --encoder lite0.pth"
    assert main(["train", "siamunet", "--out", "run", *options.split()]) == 0
    [(recipe, data, out, given)] = training
    assert (recipe.network, recipe.name, recipe.scenes) == ("siamunet", "demo", 7)
    assert (data, out) == (Path("xbd"), Path("run"))
    assert given == RunOptions(minutes=2.5, device="cuda", seed=3, resume=False, encoder=Path("lite0.pth"))
    assert capsys.readouterr().out == "run/model.pt\n"


def test_train_resumes_on_drawn_scenes_unless_told_otherwise(training: list[tuple[Any, ...]]) -> None:
    assert main(["train", "fcn", "--recipe", "paper", "--out", "run"]) == 0
    [(recipe, data, _, given)] = training
    assert (recipe.name, data, given.resume) == ("paper", None, True)


def test_a_number_of_steps_replaces_the_time_of_the_recipe(training: list[tuple[Any, ...]]) -> None:
    assert main(["train", "siamunet", "--out", "run", "--steps", "40"]) == 0
    [(recipe, _, _, given)] = training
    assert (recipe.steps, recipe.minutes, given.minutes) == (40, None, None)


def test_an_unknown_recipe_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "fcn", "--recipe", "grand", "--out", "run"]) == 1
    assert "grand" in capsys.readouterr().err


def test_networks_are_listed_with_their_tasks_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["network", "task", "parameters", "recipes", "models"]
    assert ["fcn", "damage", "2,239,682", "paper,", "demo", "bd-fcn"] in rows
    assert len(rows) == len({row[0] for row in rows}) > 10


def test_the_package_is_a_program(tmp_path: Path) -> None:
    write_trivial_model(tmp_path)
    command = [sys.executable, "-m", "export", "verify", str(tmp_path)]
    paths = f"{ROOT}:{ROOT / 'clients' / 'python' / 'src'}"
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={"PYTHONPATH": paths})
    assert (done.returncode, done.stdout) == (0, "trivial: sound\n"), done.stderr
