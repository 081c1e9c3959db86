"""Checkpoints of small, untrained networks that answer with more than one label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from export.architectures import build_network
from export.catalog import CATALOG, Entry
from export.checkpoints import Checkpoint, write_checkpoint

WIDTH = {"fcn": 1 / 16, "siamunet": 1 / 16}


def small_entry(name: str) -> Entry:
    """Return a catalogue entry with tiles small enough for a test."""
    return replace(CATALOG[name], tile=64, overlap=16, max_batch_size=4)


def untrained(architecture: str, seed: int = 0) -> nn.Module:
    """Return a network whose answers vary over any picture: its logits are balanced around zero."""
    torch.manual_seed(seed)
    network = build_network(architecture, WIDTH[architecture]).eval()
    head = network.get_submodule("head")
    assert isinstance(head, nn.Conv2d)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = network(images) if architecture == "fcn" else network(images, images.flip(0))
        spread, middle = logits.std(dim=(0, 2, 3)), logits.mean(dim=(0, 2, 3))
        head.weight /= spread[:, None, None, None]
        head.bias -= middle
        head.bias /= spread
    return network


def checkpoint(architecture: str, *, seed: int = 0, threshold: float | None = 0.5) -> Checkpoint:
    """Return a checkpoint as training would write it."""
    return Checkpoint(
        state_dict=untrained(architecture, seed).state_dict(),
        architecture=architecture,
        width=WIDTH[architecture],
        reduction=2,
        threshold=threshold,
        recipe="demo",
        steps=3,
        seconds=1.5,
        device="cpu",
        seed=seed,
        data="2 drawn scenes",
        hyperparameters={"learning_rate": 0.001},
    )


def write(path: Path, architecture: str, *, seed: int = 0, threshold: float | None = 0.5) -> Path:
    """Write `checkpoint` to a file and return its path."""
    write_checkpoint(checkpoint(architecture, seed=seed, threshold=threshold), path)
    return path
