"""Training of a network of CT on labelled slices: seeded, limited by steps and by time, resumable after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.checkpoints.files import Checkpoint
from export.graphs.runners import Arrays
from export.tasks.ct.catalogue import CT_CLASSES
from export.tasks.ct.data import LabelledSlice, read_slices
from export.tasks.ct.evaluate import SliceModel, count
from export.tasks.ct.graph import ServedSlice, labelling
from export.tasks.ct.metrics import metrics
from export.tasks.ct.recipe import SliceRecipe
from export.tasks.ct.run import SliceRun
from export.tasks.ct.samples import Sampler, Slice, load_slice
from export.tasks.damage.data import DataError
from export.training.loop import run_to_end

_NAMES = tuple(spec.name for spec in CT_CLASSES)
_SHOWN = ("infection_dsc", "infection_sensitivity", "miou", "ground-glass_dsc", "consolidation_dsc")


def train_slices(
    recipe: SliceRecipe,
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    resume: bool = True,
    start: Checkpoint | None = None,
) -> Path:
    """Train a network and return the path of its checkpoint, ``out/model.pt``.

    What lies beside it is that of `export.tasks.damage.train.train`.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_slices` takes, with the splits "train" and "val".
        out: the run's folder, made where it is missing.
        minutes: replaces the recipe's limit of time.
        device: ``cpu`` or ``cuda``.
        seed: of the first weights and of every sample.
        resume: go on from ``last.pt`` where there is one; else start anew.
        start: weights to begin with; every one is taken over that the network has too, in the same shape.

    Raises:
        DataError: ``data`` cannot be read, or lacks one of the splits.
        ValueError: ``last.pt`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    slices = read_slices(data)
    training, validation = ([each for each in slices if each.split == split] for split in ("train", "val"))
    if not training or not validation:
        raise DataError(f"{data} lacks the split {'val' if training else 'train'}")
    loaded = [load_slice(each, recipe.window, recipe.size) for each in training]
    sampler = Sampler(loaded, recipe.window, recipe.draw, seed)
    run = SliceRun(recipe, minutes or recipe.minutes, device, seed)
    if start is not None:
        run.start_from_network(start)
    run_to_end(run, sampler.batch, run.learn, partial(_figures, run, validation), out, resume=resume)
    checkpoint = out / "model.pt"
    untrained = _untrained(loaded)
    run.export(checkpoint, describe(loaded, untrained), untrained)
    return checkpoint


def describe(slices: Sequence[Slice], untrained: Sequence[str]) -> str:
    """Return in words what a network was learnt from: slices, and how many show each class."""
    counted = ", ".join(
        f"{sum(bool((each.labels == value).any()) for each in slices)} with {name}"
        for value, name in enumerate(_NAMES)
        if value and name not in untrained
    )
    return f"{len(slices)} labelled CT slices ({counted or 'none with a lesion'})"


def _untrained(slices: Sequence[Slice]) -> list[str]:
    """Return the names of the classes that no slice shows."""
    shown = {int(value) for each in slices for value in np.unique(each.labels)}
    return [name for value, name in enumerate(_NAMES) if value and value not in shown]


def _figures(run: SliceRun, validation: Sequence[LabelledSlice]) -> dict[str, float]:
    """Return the validation figures of the averaged weights."""
    recipe = run.recipe
    served = ServedSlice(labelling(run.average), recipe.window, recipe.threshold)

    def answer(batches: Sequence[NDArray[Any]]) -> Arrays:
        with torch.inference_mode():
            given = served(*(torch.from_numpy(batch).to(run.device) for batch in batches))
        return tuple(tensor.cpu().numpy() for tensor in given)

    # Weights in training are no file yet, and so have no digest.
    model = SliceModel(answer, recipe.size, _NAMES, recipe.threshold, recipe.window, source_digest="")
    found = metrics(count(model.predict, validation, len(_NAMES), recipe.window), _NAMES)
    return {name: found[name] for name in _SHOWN if name in found}
