"""Waste through a gateway as a process, asked by the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskgate_client.cli import main

from tests.support.pictures import decode, encode
from tests.support.processes import gateway
from tests.support.trivial_waste import write_trivial_waste

pytestmark = pytest.mark.e2e


def test_the_command_saves_what_a_gateway_says_of_a_photograph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = np.zeros((240, 320, 3), np.uint8)
    photo[40:120, 60:200] = 128
    photo[150:220, 100:260] = 250
    (tmp_path / "belt 3.png").write_bytes(encode(photo))
    write_trivial_waste(tmp_path / "models")
    out = tmp_path / "found"
    with gateway(tmp_path / "models") as process:
        command = ["waste", str(tmp_path / "belt 3.png"), "--url", process.address, "--out", str(out), "--json"]
        assert main(command) == 0
        said = "".join(process.output)
    line = json.loads(capsys.readouterr().out)
    assert line["pieces"]["cardboard"] == 1
    assert line["classes"]["cardboard"]["pixels"] == pytest.approx(70 * 160, rel=0.1)
    labels = decode((out / "belt 3_labels.png").read_bytes())
    assert labels.shape == (240, 320)
    assert (labels[80, 130], labels[190, 180], labels[10, 10]) == (1, 2, 0)
    assert decode((out / "belt 3_overlay.png").read_bytes()).shape[0] > 240, "the legend is below the photograph"
    report = json.loads((out / "belt 3_waste.json").read_text())
    assert (report["width"], report["height"]) == (320, 240)
    assert "belt 3" not in said
