"""Training of a network of waste: seeded, limited by steps and by time, resumable after a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from export.graphs.runners import torch_runner
from export.tasks.catalogue import entry_of
from export.tasks.specs import WasteEntry
from export.tasks.waste.catalogue import LABEL_SETS
from export.tasks.waste.data import LabelledPhoto, read_photos
from export.tasks.waste.evaluate import PhotoModel, count, metrics
from export.tasks.waste.graph import serve_photo
from export.tasks.waste.recipe import WasteRecipe
from export.tasks.waste.run import WasteRun
from export.tasks.waste.samples import Photo, Sampler, load_photo
from export.training.loop import run_to_end


def train_photos(
    recipe: WasteRecipe,
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    resume: bool = True,
    start: tuple[Mapping[str, Tensor], str] | None = None,
) -> Path:
    """Train a network and return the path of its checkpoint, ``out/model.pt``.

    What lies beside it is that of `export.tasks.damage.train.train`. The photographs of the training are held in memory
    at the recipe's scale.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_photos` takes, with the splits "train" and "val".
        out: the run's folder, made where it is missing.
        minutes: replaces the recipe's limit of time.
        device: ``cpu`` or ``cuda``.
        seed: of the first weights and of every sample.
        resume: go on from ``last.pt`` where there is one; else start anew.
        start: weights to begin with, and whose they are; each is taken over that the network has in the same shape.

    Raises:
        DataError: ``data`` cannot be read, or lacks one of the splits.
        ValueError: ``last.pt`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    photos = read_photos(data)
    training, validation = photos.of("train"), photos.of("val")
    names = tuple(spec.name for spec in LABEL_SETS[photos.label_set])
    scale = entry_of(recipe.network, WasteEntry).resize(recipe.size)
    loaded = [load_photo(each, scale.short, scale.long, len(names)) for each in training]
    sampler = Sampler(loaded, recipe.draw, seed)
    run = WasteRun(recipe, photos.label_set, minutes or recipe.minutes, device, seed)
    if start is not None:
        run.start_from(*start)
    run_to_end(run, sampler.batch, run.learn, partial(_figures, run, validation, names), out, resume=resume)
    checkpoint = out / "model.pt"
    untrained = _untrained(loaded, names)
    run.export(checkpoint, describe(loaded, names, untrained), untrained)
    return checkpoint


def describe(photos: Sequence[Photo], names: Sequence[str], untrained: Sequence[str]) -> str:
    """Return in words what a network was learnt from: photographs, and how many show each class."""
    counted = ", ".join(
        f"{sum(bool((photo.labels == value).any()) for photo in photos)} with {name}"
        for value, name in enumerate(names)
        if value and name not in untrained
    )
    return f"{len(photos)} labelled photographs ({counted or 'none with waste'})"


def _untrained(photos: Sequence[Photo], names: Sequence[str]) -> list[str]:
    """Return the names of the classes that no photograph shows."""
    shown = {int(value) for photo in photos for value in np.unique(photo.labels)}
    return [name for value, name in enumerate(names) if value and value not in shown]


def _figures(run: WasteRun, validation: Sequence[LabelledPhoto], names: tuple[str, ...]) -> dict[str, float]:
    """Return the validation figures of the averaged weights."""
    entry, size = entry_of(run.recipe.network, WasteEntry), run.recipe.size
    model = PhotoModel(
        run=torch_runner(serve_photo(run.average, threshold=None), run.device),
        resize=entry.resize(size),
        tile=size,
        overlap=entry.overlap(size),
        classes=names,
        threshold=None,
        # Weights in training are no file yet, and so have no digest.
        source_digest="",
    )
    found = metrics(count(model.predict, validation, len(names)), names)
    return {name: found[name] for name in found if not name.endswith("_accuracy") or name == "pixel_accuracy"}
