"""Models of CT side by side, one of a repository and one of a run: the figures, and the files that are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.cli import main
from export.evaluation.comparison import Comparison
from export.evaluation.figures import read_measurement
from tests.support.checkpoints import checkpoint, small_entry, untrained, write
from tests.support.exports import onnx_once
from tests.support.unproven import write_unproven


def test_a_model_and_a_run_stand_beside_the_papers_figures(
    slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.evaluation.engine.to_onnx", onnx_once)
    root, run = tmp_path / "models", tmp_path / "mine"
    write_unproven(root, untrained("ct_unet"), checkpoint("ct_unet"), [small_entry("ct-unet")])
    run.mkdir()
    write(run / "model.pt", "ct_unet")
    out, table, plot = (tmp_path / name for name in ("found.json", "table.md", "plot.svg"))
    arguments = ["--task", "ct", "--data", str(slices), "--run", str(run)]
    files = ["--out", str(out), "--table", str(table), "--plot", str(plot)]
    assert main(["compare", str(root), *arguments, *files]) == 0
    told = capsys.readouterr().out
    assert table.read_text() == told
    assert plot.read_text().startswith("<?xml")
    found = Comparison.model_validate_json(out.read_bytes())
    stored, again, baseline = found.rows
    assert [row.name for row in found.rows] == ["ct-unet", "ct-unet (mine)", "no lesion anywhere"]
    # One network in one runtime, whether a repository holds its file or a run its weights.
    assert stored.metrics == again.metrics
    assert stored.confusion == again.confusion
    assert stored.metrics["pixel_accuracy"] == sum(row[i] for i, row in enumerate(stored.confusion)) / 24_000
    assert stored.seconds is not None
    assert stored.seconds > 0 == again.size < stored.size
    assert stored.training is not None
    assert (stored.training.steps, stored.parameters) == (3, again.parameters)
    assert (baseline.seconds, baseline.metrics["infection_dsc"]) == (None, 0)
    figures = tmp_path / "figures.json"
    assert main(["evaluate", str(root / "ct-unet"), "--data", str(slices), "--out", str(figures)]) == 0
    [measured] = read_measurement(figures).figures
    assert measured.metrics.items() <= stored.metrics.items()
    lines = told.splitlines()
    assert lines[0].startswith("| model | mIoU | infection DSC | sensitivity | specificity |")
    [stated] = [line for line in lines if line.startswith("| U-Net |")]
    assert (
        stated
        == f"| U-Net | ct-unet | 0.791 | {stored.metrics['miou']:.3f} | – | {stored.metrics['infection_dsc']:.3f} |"
    )


def test_without_a_model_nothing_is_compared(slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), "--task", "ct", "--data", str(slices)]) == 1
    assert "no sound model of CT" in capsys.readouterr().err
