"""The way of a network from its first step to an answer, which networks that papers compare with go as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.build import build
from export.checkpoints.files import read_checkpoint
from export.evaluation.command import evaluate
from export.registry import specs_of, task_of
from export.training.recipe import RunOptions
from export.verify import verify, verify_source
from gateway.repository.store import scan


def from_training_to_answers(recipe: Any, data: Path, folder: Path) -> Path:
    """Train by a recipe, build, verify, and let the gateway's pipeline answer; return the checkpoint.

    The parity gate passes, the folder is sound, its file answers as torch does, and the figures of the built model are
    those of what it was built from.
    """
    file: Path = task_of(recipe.network).module("train").train(recipe, data, folder / "run", RunOptions())
    checkpoint = read_checkpoint(file)
    assert checkpoint.depths == (recipe.depths or "")
    root = folder / "models"
    build(file, specs_of(recipe.network), root)
    repository = scan(root)
    [model] = specs_of(recipe.network)
    assert list(repository.models) == [model.name]
    assert verify_source(repository, file) == ()
    assert verify(repository) == ()
    assert "val: 2 images" in evaluate([root / model.name], data, "val")
    return file
