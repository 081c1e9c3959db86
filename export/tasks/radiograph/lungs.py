"""Training of what finds the lungs of a film, before a network that is shown lungs alone learns its classes.

A folder of labelled radiographs may have ``lungs/``: pictures, lungs bright, named as the films are, or as the column
``source_file`` of ``labels.csv`` names them; endings do not matter. Films without such a picture are not learnt from,
but lend their grey levels: what is learnt from some hospitals' films has to hold on another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.errors import DataError
from export.networks import build_network
from export.networks.film_lungs import FilmLungs
from export.tasks.radiograph.changes import degrade, erase, letter, reframe, relight
from export.tasks.radiograph.data import Grey
from export.tasks.radiograph.recipe import RadiographRecipe
from export.training.data import existing, read_grey, read_table
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last
from export.training.sampling import draw_samples
from gateway.vision.radiographs import to_square

_HALF = 128


@dataclass(frozen=True)
class LungFilm:
    """A film and where its lungs are, both uint8 (S, S); lungs are 255, or None where nobody has drawn them."""

    pixels: Grey
    lungs: Grey | None


@dataclass(frozen=True)
class LungBatch:
    """Samples of one step: films, uint8 (N, S, S), and P(lung), float32 (N, S / 2, S / 2), in [0, 1]."""

    films: Grey
    lungs: NDArray[np.float32]


def read_lungs(folder: Path, split: str, size: int) -> list[LungFilm]:
    """Return the films of a split as squares of `size`, with the lungs that the folder has.

    Raises:
        DataError: the split has no film with lungs.
    """
    drawn = {file.stem.lower(): file for file in sorted((folder / "lungs").glob("*"))}
    films = []
    for row in read_table(folder / "labels.csv", "file", "split"):
        if row["split"] == split:
            names = (Path(row[key]).stem.lower() for key in ("file", "source_file") if row.get(key))
            file = next((drawn[name] for name in names if name in drawn), None)
            lungs = None if file is None else to_square(np.where(read_grey(file) >= _HALF, np.uint8(255), 0), size)
            films.append(LungFilm(to_square(read_grey(existing(folder / row["file"])), size), lungs))
    if all(film.lungs is None for film in films):
        raise DataError(f"{folder} has no lungs drawn for a film of the split {split}")
    return films


class LungSampler:
    """Takes batches of randomly changed films and their lungs; arguments as of `samples.Sampler`."""

    def __init__(self, films: Sequence[LungFilm], size: int, batch: int, seed: int) -> None:
        """Keep the films."""
        self._films = [film for film in films if film.lungs is not None]
        self._others, self._size, self._batch, self._seed = films, size, batch, seed

    def batch(self, step: int) -> LungBatch:
        """Return the batch of that step."""
        films, lungs = draw_samples(self._sample, self._seed, step, self._batch)
        return LungBatch(np.stack(films), shares_of(lungs))

    def _sample(self, rng: Generator) -> tuple[Grey, Grey]:
        film = self._films[int(rng.integers(len(self._films)))]
        framed = reframe(rng, np.dstack([film.pixels, cast(Grey, film.lungs)]), self._size)
        lit = relight(rng, framed[..., 0].copy(), self._others[int(rng.integers(len(self._others)))].pixels)
        return erase(rng, degrade(rng, letter(rng, lit))), framed[..., 1]


def shares_of(lungs: Sequence[Grey]) -> NDArray[np.float32]:
    """Return how much of every two pixels squared lungs cover, float32 (N, S / 2, S / 2), of lungs uint8 (S, S)."""
    halves = [cv2.resize(each, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for each in lungs]
    return np.asarray(np.stack(halves) / np.float32(255), np.float32)


class LungRun(Run[RadiographRecipe, LungBatch]):
    """The part of a network of radiographs that finds lungs, in training; its other layers stay as they were drawn."""

    def __init__(self, recipe: RadiographRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe, options, lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths))
        )

    def learn(self, batch: LungBatch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name: cross-entropy, and what Dice's coefficient lacks."""
        backbone = cast(FilmLungs, self.network).backbone
        backbone.lungs.train()
        truth = torch.from_numpy(batch.lungs).to(self.device).unsqueeze(1)
        with self.arithmetic():
            logits = backbone.lungs(halved(batch.films, self.device)).float()
        found = logits.sigmoid()
        both, either = ((found * truth).sum(dim=(1, 2, 3)), (found + truth).sum(dim=(1, 2, 3)))
        terms = {
            "entropy": F.binary_cross_entropy_with_logits(logits, truth),
            "dice": (1 - (2 * both + 1) / (either + 1)).mean(),
        }
        self.descend(*terms.values())
        return {name: float(term.detach()) for name, term in terms.items()}


def train_lungs(recipe: RadiographRecipe, data: Path, out: Path, options: RunOptions) -> Path:
    """Train what finds lungs and return the path of the checkpoint; arguments as of `train.train`.

    Raises:
        DataError: ``data`` cannot be read, or has no lungs for one of the splits "train" and "val".
    """
    films = read_lungs(data, "train", recipe.size)
    judged = [film for film in read_lungs(data, "val", recipe.size) if film.lungs is not None]
    run = LungRun(recipe, options)
    run.data = f"{sum(film.lungs is not None for film in films)} chest radiographs with drawn lungs"

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        return {"iou": overlap(cast(FilmLungs, checkpoint.network()), judged)}

    sampler = LungSampler(films, recipe.size, recipe.draw.batch, options.seed)
    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def overlap(network: FilmLungs, films: Sequence[LungFilm]) -> float:
    """Return the mean intersection over union of found and drawn lungs; every film has the latter."""
    truth = shares_of([cast(Grey, film.lungs) for film in films]) >= 0.5
    with torch.inference_mode():
        logits = network.backbone.lungs(halved(np.stack([film.pixels for film in films]), "cpu"))
    found = (logits[:, 0] >= 0).numpy()
    both, either = (found & truth).sum(axis=(1, 2)), (found | truth).sum(axis=(1, 2))
    return float((both / np.maximum(1, either)).mean())


def halved(films: Grey, device: str) -> Tensor:
    """Return films, uint8 (N, S, S), as lungs are found in them: float32 (N, 1, S / 2, S / 2) in [0, 1]."""
    return F.avg_pool2d(torch.from_numpy(films).to(device).unsqueeze(1).float() / 255, 2)
