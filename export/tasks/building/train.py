"""Training of a network that grades one building: seeded, limited by steps and by time, resumable after a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.tasks.building.data import Town, read_town
from export.tasks.building.evaluate import confusion, metrics, names
from export.tasks.building.graph import ServedBuilding
from export.tasks.building.recipe import CropRecipe
from export.tasks.building.run import CropRun
from export.tasks.building.samples import Sampler
from export.tasks.damage.train import describe, training_and_validation
from export.training.loop import run_to_end


def train_crops(
    recipe: CropRecipe,
    data: Path | None,
    out: Path,
    *,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    resume: bool = True,
) -> Path:
    """Train a network and return the path of its checkpoint, ``out/model.pt``.

    What lies beside it is that of `export.tasks.damage.train.train`.

    Args:
        recipe: every choice of the run.
        data: an xBD folder; None trains and validates on drawn scenes alone.
        out: the run's folder, made where it is missing.
        minutes: replaces the recipe's limit of time.
        device: ``cpu`` or ``cuda``.
        seed: of the first weights and of every sample.
        resume: go on from ``last.pt`` where there is one; else start anew.

    Raises:
        DataError: ``data`` cannot be read.
        ValueError: no building is graded, or ``last.pt`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    pairs, scenes, validation = training_and_validation(data, 0 if data else recipe.scenes)
    towns = [*map(read_town, pairs), *map(read_town, scenes)]
    sampler = Sampler(towns, recipe.draw, seed)
    if recipe.epochs is not None:
        recipe = replace(recipe, steps=max(1, recipe.epochs * len(sampler) // recipe.draw.batch))
    run = CropRun(recipe, minutes or recipe.minutes, device, seed)
    judged = [read_town(pair) for pair in validation]
    run_to_end(run, sampler.batch, run.learn, partial(_figures, run, judged), out, resume=resume)
    checkpoint = out / "model.pt"
    run.export(checkpoint, f"{_counted(towns)} of {describe(pairs, len(scenes))}")
    return checkpoint


def _counted(towns: Sequence[Town]) -> str:
    """Return in words how many buildings there are of each grade."""
    count = Counter(grade for town in towns for grade in town.grades)
    grades = ", ".join(f"{count[grade]} {name}" for grade, name in enumerate(names()) if count[grade])
    return f"{count.total()} buildings ({grades})"


def _figures(run: CropRun, towns: Sequence[Town]) -> dict[str, float]:
    """Return the validation figures of the averaged weights, over buildings."""
    served = ServedBuilding(run.average)

    def grade(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = served(torch.from_numpy(crops).to(run.device)).cpu().numpy()
        return scores

    return metrics(confusion(grade, towns, run.recipe.draw.grow, run.recipe.draw.size))
