"""Plain networks of radiographs, learnt apart and joined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.checkpoints.files import Checkpoint, read_checkpoint, write_checkpoint
from export.cli import main
from export.errors import CheckpointError
from export.evaluation.engine import of_checkpoint
from export.networks import build_network
from export.tasks.radiograph.members import joined


def plain(seed: int) -> Checkpoint:
    torch.manual_seed(seed)
    return Checkpoint(
        state_dict=build_network("film_plain", 1 / 8).state_dict(),
        architecture="film_plain",
        width=1 / 8,
        reduction=1,
        threshold=0.5,
        recipe="demo",
        steps=10 + seed,
        seconds=1.5,
        device="cpu",
        seed=seed,
        data="4 films",
        hyperparameters={"learning_rate": 2e-3},
        depths="1",
        size=64,
    )


def test_the_joined_one_says_what_it_is_made_of(tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.pt" for seed in range(3)]
    for seed, path in enumerate(paths):
        write_checkpoint(plain(seed), path)
    assert main(["join", *map(str, paths), "--out", str(tmp_path / "joined.pt")]) == 0
    together = read_checkpoint(tmp_path / "joined.pt")
    assert (together.depths, together.steps, together.seconds) == ("3", 33, 4.5)
    assert together.hyperparameters == {"learning_rate": 2e-3, "seeds": "0 1 2"}
    films = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        mean = np.mean([plain(seed).network()(films).numpy() for seed in range(3)], axis=0)
        np.testing.assert_allclose(together.network()(films).numpy(), mean, atol=1e-4)
    [served] = of_checkpoint(together)
    assert served.model.card.network.members == 3


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "2 to 16 networks"),
        ([plain(seed) for seed in range(1, 17)], "2 to 16 networks"),
        ([replace(plain(1), architecture="film_lite0")], "film_plain alone"),
        ([replace(plain(1), depths="2")], "film_plain alone"),
        ([replace(plain(1), size=80)], "more than weights and seed"),
        ([plain(0)], "one seed"),
    ],
)
def test_what_cannot_be_joined_is_refused(others: list[Checkpoint], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        joined([plain(0), *others])
