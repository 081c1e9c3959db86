"""Training of networks of radiographs: what a step does, and what a run learns from and validates on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint, read_checkpoint
from export.errors import CheckpointError, DataError
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import build_network
from export.networks.keras_layers import FilmNetwork
from export.tasks.radiograph.data import CLASSES, Grey, LabelledRadiograph, read_radiographs
from export.tasks.radiograph.evaluate import metrics, scores_of
from export.tasks.radiograph.recipe import RadiographRecipe
from export.tasks.radiograph.samples import Batch, Film, Sampler, with_smote
from export.tasks.radiograph.spec import THRESHOLD
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last
from gateway.tasks.radiograph.pipeline import choose_panel

_BACKBONE = "backbone."
_SEEDS = 1_000_003


class RadiographRun(Run[RadiographRecipe, Batch]):
    """A network of radiographs in training."""

    def __init__(self, recipe: RadiographRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe, options, lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths))
        )

    def start_from_backbone(self, checkpoint: Checkpoint) -> None:
        """Begin with the backbone of another checkpoint, which may hold nothing else; the recipe may fix it.

        Raises:
            CheckpointError: it is of another architecture, width or depth.
        """
        backbone = cast(FilmNetwork, self.network).backbone
        given = {
            key.removeprefix(_BACKBONE): weight
            for key, weight in checkpoint.state_dict.items()
            if key.startswith(_BACKBONE)
        }
        try:
            backbone.load_state_dict(given, strict=True)
        except RuntimeError as error:
            raise CheckpointError(f"the start's backbone is not this network's: {error}") from error
        backbone.requires_grad_(not self.recipe.fixed)
        self.average.load_state_dict(self.network.state_dict())
        self.started = f"backbone of {checkpoint.architecture}, {checkpoint.recipe}"

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        network, recipe = cast(FilmNetwork, self.network.train()), self.recipe
        if recipe.fixed and self.started:
            # Its normalisation keeps the statistics it came with.
            network.backbone.eval()
        # What dropout leaves out depends on the step alone, so that a resumed run does the same.
        torch.manual_seed(_SEEDS * self.seed + self.step)
        films, truth = network_input(batch.films, self.device), self.truth(batch.values)
        with self.arithmetic():
            activity = network.head.activity(network.backbone(films))
            logits = network.head.classify(activity)
        terms = {"entropy": F.cross_entropy(logits.float(), truth, label_smoothing=recipe.smoothing)}
        if recipe.activity:
            wide = activity.float()
            terms["activity"] = recipe.activity * (wide.abs() + wide.square()).sum(dim=1).mean()
        self.descend(*terms.values())
        return {name: float(term.detach()) for name, term in terms.items()}

    def truth(self, values: NDArray[np.int64]) -> Tensor:
        """Return the probabilities (N, 2) to be learnt for label values, −1 for a film of no class of the paper."""
        covid = np.select([values == 0, values == 1], [1.0, 0.0], self.recipe.other_covid)
        return torch.from_numpy(np.stack([covid, 1 - covid], axis=1).astype(np.float32)).to(self.device)


def train(recipe: RadiographRecipe, data: Path, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_radiographs` takes, with the splits "train" and "val"; other labels are left out
            unless the recipe shows them.
        out: the run's folder.
        options: the other choices.
        start: a checkpoint whose backbone it begins with.

    Raises:
        DataError: ``data`` cannot be read, or one of the splits lacks a class.
        CheckpointError: the start is another network's, or the public encoder's weights are not there.
        ValueError: ``last.pt`` is of another recipe.
    """
    labelled = [film for film in read_radiographs(data) if film.value is not None or recipe.draw.others]
    training = _loaded(labelled, "train")
    validation = [film for film in _loaded(labelled, "val") if film.value is not None]
    drawn = with_smote(training, recipe.size, options.seed) if recipe.draw.smote else training
    sampler = Sampler(drawn, recipe.size, recipe.draw, options.seed)
    run = RadiographRun(recipe, options)
    if start is not None:
        run.start_from_backbone(read_checkpoint(start))
    elif recipe.pretrained:
        run.start_from_imagenet(options.encoder)
    run.data = words_of(training)
    values = np.array([film.value for film in validation])

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            panel = choose_panel(bench.engine, bench.only.name)
            scores = scores_of(bench, panel, (film.pixels for film in validation))
        return metrics(scores[panel.name], values, THRESHOLD)

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def words_of(films: Sequence[Film]) -> str:
    """Return in words what a network was learnt from."""
    counted = [f"{sum(film.value == value for film in films)} {name}" for value, name in enumerate(CLASSES)]
    if others := sum(film.value is None for film in films):
        counted.append(f"{others} of other findings")
    return f"{len(films)} labelled chest radiographs ({', '.join(counted)})"


def _loaded(films: Sequence[LabelledRadiograph], split: str) -> list[Film]:
    loaded = [Film(film.read(), film.value, film.source) for film in films if film.split == split]
    if missing := [name for value, name in enumerate(CLASSES) if value not in {film.value for film in loaded}]:
        raise DataError(f"the split {split} has no film of {' or '.join(missing)}")
    return loaded


def network_input(films: Grey, device: str) -> Tensor:
    """Return grey films, uint8 (N, S, S), as a network takes them: float32 (N, 3, S, S) in [0, 1], channels last."""
    grey = torch.from_numpy(films).to(device).unsqueeze(1).float() / 255
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
