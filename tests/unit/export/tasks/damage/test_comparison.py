"""Every damage model side by side: figures by hand, the composition, the table, the plot."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from export.cli import main
from export.evaluation.engine import Bench, of_folder
from export.tasks.damage.compare import Contestant, contestants
from export.tasks.damage.metrics import harmonic_mean
from gateway.repository.store import scan
from tests.support.trivial import write_trivial_model
from tests.support.trivial_crops import write_trivial_crops

LEVELS = (30, 90, 150, 210)
"""Brightness after the disaster of no, minor, major damage and destroyed: what the trivial models read off it."""

Pixels = NDArray[np.uint8]


def town() -> tuple[Pixels, Pixels, Pixels]:
    """Return pre, post and labels (160, 320): per grade one house; its whole quarter shows the grade's brightness."""
    pre, post = np.zeros((2, 160, 320, 3), np.uint8)
    labels = np.zeros((160, 320), np.uint8)
    for grade, level in enumerate(LEVELS):
        post[:, 80 * grade : 80 * (grade + 1)] = level
        house = np.s_[60:90, 80 * grade + 25 : 80 * grade + 55]
        pre[house], labels[house] = 255, grade + 1
    return pre, post, labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one validation pair, of which a fifth of the last house's label is missing."""
    root = tmp_path_factory.mktemp("data")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    pre, post, labels = town()
    labels[60:66, 265:295] = 0
    cv2.imwrite(str(root / "images" / "storm_1_pre_disaster.png"), pre)
    cv2.imwrite(str(root / "images" / "storm_1_post_disaster.png"), post)
    cv2.imwrite(str(root / "masks" / "storm_1_post_disaster.png"), labels)
    (root / "manifest.csv").write_text("tile,split,event,image_format\nstorm_1,val,storm,png\n")
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a finder, a grader, and a model that grades by the pixel."""
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root, "bd-fcn", inputs=("pre",), classes=2)
    write_trivial_model(root, "bd-pixels")
    write_trivial_crops(root)
    return root


def bench_of(models: Path) -> Bench:
    return Bench(map(of_folder, scan(models).models.values()))


def named(bench: Bench, models: Path, grader: str) -> dict[str, Contestant]:
    return {each.model.name: each for each in contestants(bench, scan(models), "bd-fcn", grader)}


def test_fused_is_the_composition(models: Path) -> None:
    pre, post, labels = town()
    with bench_of(models) as bench:
        found = named(bench, models, "bd-cnn")
        assert list(found) == ["bd-fcn", "bd-pixels", "fused"]
        np.testing.assert_array_equal(found["fused"].predict(pre, post), labels)
    assert len(found["fused"].model.card.classes) == 5
    assert found["fused"].size > found["bd-fcn"].size
    assert found["fused"].parameters == found["bd-fcn"].parameters + 16


def test_without_its_parts_nothing_is_fused(models: Path) -> None:
    with bench_of(models) as bench:
        assert list(named(bench, models, "nobody")) == ["bd-fcn", "bd-pixels"]


def test_figures_are_those_counted_by_hand(
    models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plot = tmp_path / "table.json", tmp_path / "compare.png"
    assert main(["compare", str(models), "--data", str(data), "--out", str(out), "--plot", str(plot)]) == 0
    told = capsys.readouterr().out
    document = json.loads(out.read_text())
    rows = {row["name"]: row for row in document["rows"]}
    [buildings] = document["sections"].values()
    assert list(rows) == ["bd-fcn", "bd-pixels", "fused", "no-damage everywhere"]
    # 4 houses of 900 pixels, 180 of which are not labelled.
    located = 2 * 3420 / (3420 + 3600)
    for name in ("bd-fcn", "fused"):
        assert rows[name]["metrics"]["localisation_f1"] == pytest.approx(located)
    assert "xview2_score" not in rows["bd-fcn"]["metrics"]
    assert rows["bd-fcn"]["metrics"]["pixel_accuracy"] == pytest.approx(1 - 180 / (160 * 320))
    fused = rows["fused"]["metrics"]
    assert fused["damage_f1_harmonic_mean"] == pytest.approx(harmonic_mean([1] * 4))
    assert fused["xview2_score"] == pytest.approx(0.3 * located + 0.7 * harmonic_mean([1] * 4))
    assert fused["pixel_accuracy"] == pytest.approx(1 - 180 / (160 * 320))
    assert rows["fused"]["seconds"] > 0
    assert rows["no-damage everywhere"]["seconds"] is None
    assert buildings["bd-cnn"]["accuracy"] == 1
    assert buildings["no-damage for every building"]["accuracy"] == 0.25
    lines = told.splitlines()
    assert lines[0].startswith("| model | localisation F1 | IoU |")
    assert {line.count("|") for line in lines[:6]} == {16}
    [fcn] = [line for line in lines if line.startswith("| bd-fcn")]
    assert fcn.split(" | ")[1:8] == [f"{located:.3f}", f"{located / (2 - located):.3f}", *["–"] * 5]
    assert sum("×1.00" in line for line in lines) == 1
    picture = cv2.imread(str(plot))
    assert picture is not None
    assert picture.std() > 10


def test_a_repository_without_damage_models_is_refused(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trivial_crops(tmp_path)
    assert main(["compare", str(tmp_path), "--data", str(data)]) == 1
    assert "no sound model of damage" in capsys.readouterr().err


def test_an_empty_split_is_refused(models: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(models), "--data", str(data), "--split", "hold"]) == 1
    assert "no pair in the split 'hold'" in capsys.readouterr().err
