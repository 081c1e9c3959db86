"""Training of a network of radiographs: seeded, limited by steps and by time, resumable after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.files import Checkpoint
from export.tasks.damage.data import DataError
from export.tasks.radiograph.data import CLASSES, Grey, LabelledFilm, read_films
from export.tasks.radiograph.metrics import metrics
from export.tasks.radiograph.recipe import FilmRecipe
from export.tasks.radiograph.run import THRESHOLD, FilmRun
from export.tasks.radiograph.samples import Film, Sampler, with_smote
from export.training.loop import run_to_end
from gateway.vision.radiographs import to_square

_AT_ONCE = 16


def train_films(
    recipe: FilmRecipe,
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
        data: a folder that `read_films` takes, with the splits "train" and "val"; other labels are left out.
        out: the run's folder, made where it is missing.
        minutes: replaces the recipe's limit of time.
        device: ``cpu`` or ``cuda``.
        seed: of the first weights and of every sample.
        resume: go on from ``last.pt`` where there is one; else start anew.
        start: what the backbone begins with.

    Raises:
        DataError: ``data`` cannot be read, or one of the splits lacks a class.
        CheckpointError: the start is another network's.
        ValueError: ``last.pt`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    films = [film for film in read_films(data) if film.value is not None]
    training, validation = (_loaded(films, split) for split in ("train", "val"))
    drawn = with_smote(training, recipe.size, seed) if recipe.draw.smote else training
    sampler = Sampler(drawn, recipe.size, recipe.draw, seed)
    run = FilmRun(recipe, minutes or recipe.minutes, device, seed)
    if start is not None:
        run.start_from_backbone(start)
    squares = np.stack([to_square(film.pixels, recipe.size) for film in validation])
    values = np.array([film.value for film in validation])
    run_to_end(run, sampler.batch, run.learn, partial(_figures, run, squares, values), out, resume=resume)
    checkpoint = out / "model.pt"
    run.export(checkpoint, describe(training))
    return checkpoint


def describe(films: Sequence[Film]) -> str:
    """Return in words what a network was learnt from."""
    counted = (f"{sum(film.value == value for film in films)} {name}" for value, name in enumerate(CLASSES))
    return f"{len(films)} labelled chest radiographs ({', '.join(counted)})"


def _loaded(films: Sequence[LabelledFilm], split: str) -> list[Film]:
    loaded = [Film(film.read(), film.value) for film in films if film.split == split and film.value is not None]
    if missing := [name for value, name in enumerate(CLASSES) if value not in {film.value for film in loaded}]:
        raise DataError(f"the split {split} has no film of {' or '.join(missing)}")
    return loaded


def _figures(run: FilmRun, films: Grey, values: NDArray[np.int64]) -> dict[str, float]:
    """Return the validation figures of the averaged weights."""
    parts = [run.scores(films[first : first + _AT_ONCE]) for first in range(0, len(films), _AT_ONCE)]
    return metrics(np.concatenate([part.numpy() for part in parts]), values, THRESHOLD)
