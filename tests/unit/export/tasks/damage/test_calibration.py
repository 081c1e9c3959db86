"""Offsets of logits: chosen by labelled pairs, told honestly, kept, and served."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.checkpoints.files import Checkpoint, read_checkpoint, write_checkpoint
from export.cli import main
from export.errors import CheckpointError
from export.graphs.framing import Framing
from export.tasks.damage import calibrate as calibration
from export.tasks.damage.calibrate import calibrate
from export.tasks.damage.graph import serve
from tests.support.checkpoints import checkpoint

SIDE = 64


@dataclass(frozen=True)
class Block:
    """A place whose left half is one building, of a grade that a brightness tells."""

    grade: int

    def read_pre(self) -> NDArray[np.uint8]:
        return np.full((SIDE, SIDE, 3), 60, np.uint8)

    def read_post(self) -> NDArray[np.uint8]:
        return np.full((SIDE, SIDE, 3), 40 * self.grade, np.uint8)

    def read_labels(self) -> NDArray[np.uint8]:
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[:, : SIDE // 2] = self.grade
        return labels


class Timid(torch.nn.Module):
    """Knows every grade and answers the lightest all the same, by a margin of 1.5 per grade."""

    def forward(self, _pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        levels = torch.tensor([40.0 * grade for grade in range(1, 5)])
        mean, std = torch.tensor(0.485), torch.tensor(0.229)
        brightness = 255 * (post[:, :1] * std + mean)
        grades = 3 - (brightness - levels.view(1, -1, 1, 1)).abs() / 40 - 1.5 * torch.arange(4.0).view(1, -1, 1, 1)
        building = torch.where(torch.arange(post.shape[-1]) < post.shape[-1] // 2, -9.0, 9.0)
        return torch.cat([building.expand(post.shape[0], 1, *post.shape[-2:]), grades], dim=1)


@pytest.fixture
def timid(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """Return a checkpoint whose network is `Timid`."""
    monkeypatch.setattr(Checkpoint, "network", lambda _: Timid())
    return replace(checkpoint("siamunet"), reduction=1)


def test_what_is_named_too_seldom_is_named_more_often(timid: Checkpoint) -> None:
    pairs = [Block(grade) for grade in (1, 2, 3, 4) for _ in range(2)]
    calibrated, counts = calibrate(timid, pairs)
    assert counts["before"].damage_f1[3] == 0
    assert counts["chosen"].damage_f1 == (1, 1, 1, 1)
    assert counts["chosen"].localisation.f1 == 1
    assert calibrated.offsets[:2] == (0, 0)
    assert 0 < calibrated.offsets[2] < calibrated.offsets[3] < calibrated.offsets[4]
    assert calibrated.hyperparameters["offsets"] == " ".join(map(str, calibrated.offsets))


def test_a_pair_that_alone_shows_a_grade_is_told_not_to_have_chosen_for_itself(timid: Checkpoint) -> None:
    _, counts = calibrate(timid, [Block(1), Block(1), Block(4)])
    assert counts["chosen"].damage_f1[3] == 1
    assert counts["others"].damage_f1[3] == 0


def test_chosen_offsets_take_the_place_of_former_ones(timid: Checkpoint) -> None:
    pairs = [Block(grade) for grade in (1, 2, 3, 4)]
    once, _ = calibrate(timid, pairs)
    again, _ = calibrate(once, pairs)
    assert again.offsets == once.offsets


def test_a_network_of_one_image_is_refused(timid: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="does not grade damage by two images"):
        calibrate(replace(timid, architecture="fcn"), [Block(1)])


def test_a_network_that_tells_no_damage_is_refused(timid: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timid, "forward", lambda _self, _pre, post: post[:, :2])
    with pytest.raises(CheckpointError, match="does not tell damage"):
        calibrate(timid, [Block(1)])


def test_the_served_graph_adds_the_offsets(timid: Checkpoint) -> None:
    pre, post = (torch.from_numpy(image[None]) for image in (Block(4).read_pre(), Block(4).read_post()))
    plain = serve(timid.network(), ("pre", "post"), Framing(1))(pre, post)[0]
    offset = serve(timid.network(), ("pre", "post"), Framing(1, offsets=(0, 0, 0, 0, 6.0)))(pre, post)[0]
    assert set(plain[0, :, : SIDE // 2].unique().tolist()) <= {1, 2, 3}
    assert set(offset[0, :, : SIDE // 2].unique().tolist()) == {4}
    assert (offset[0, :, SIDE // 2 :] == 0).all()


def test_the_served_graph_grades_a_roof_as_a_whole(timid: Checkpoint) -> None:
    """A patch of another grade on a roof takes the grade of what surrounds it; what is a building stays."""
    image = Block(4).read_post()
    image[24:32, 8:16] = 40
    pre, post = torch.from_numpy(Block(4).read_pre()[None]), torch.from_numpy(image[None])
    offsets = (0, 0, 1.5, 3.0, 4.5)
    plain = serve(timid.network(), ("pre", "post"), Framing(1, offsets=offsets))(pre, post)[0][0]
    whole = serve(timid.network(), ("pre", "post"), Framing(1, offsets=offsets, smoothing=20))(pre, post)[0][0]
    assert set(plain[24:32, 8:16].unique().tolist()) == {1}
    assert set(whole[:, : SIDE // 2].unique().tolist()) == {4}
    assert torch.equal(whole > 0, plain > 0)


def test_smoothing_is_kept_and_told(timid: Checkpoint) -> None:
    calibrated, counts = calibrate(timid, [Block(1), Block(4)], 20)
    assert (calibrated.smoothing, calibrated.framing.smoothing, calibrated.hyperparameters["smoothing"]) == (20, 20, 20)
    assert counts["chosen"].localisation.f1 == 1


@pytest.mark.parametrize("pixels", [-4, 3, 8, 22])
def test_smoothing_over_other_than_whole_cells_is_refused(timid: Checkpoint, pixels: int) -> None:
    with pytest.raises(CheckpointError, match=f"odd multiple of 4 pixels, not over {pixels}"):
        calibrate(timid, [Block(1)], pixels)


def test_smoothing_of_reduced_images_is_refused(timid: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="at their full size alone"):
        calibrate(replace(timid, reduction=2), [Block(1)], 20)


def test_the_command_writes_a_checkpoint_that_can_be_read(
    timid: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(timid, tmp_path / "given.pt")
    monkeypatch.setattr(calibration, "read_pairs", lambda _: None)
    monkeypatch.setattr(calibration, "of_split", lambda *_: [Block(1), Block(4)])
    command = f"calibrate {tmp_path / 'given.pt'} --data {tmp_path} --out {tmp_path / 'chosen.pt'}"
    assert main(command.split()) == 0
    assert read_checkpoint(tmp_path / "chosen.pt").offsets[4] > 0
    assert "with those that the other pairs choose: localisation F1 1.000" in capsys.readouterr().out
