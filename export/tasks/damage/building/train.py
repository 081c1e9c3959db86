"""Training of networks that grade one building: what a step does, and what a run learns from and validates on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import build_network
from export.networks.colours import normalise
from export.tasks.damage.building.data import Town, read_town
from export.tasks.damage.building.evaluate import NAMES, confusion, metrics
from export.tasks.damage.building.recipe import CropRecipe
from export.tasks.damage.building.samples import Batch, Sampler
from export.tasks.damage.data import training_and_validation, words_of
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last


class CropRun(Run[CropRecipe, Batch]):
    """A network of crops in training."""

    def __init__(self, recipe: CropRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe, options, lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths))
        )

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its loss by name."""
        crops = normalise(batch.crops, self.device)
        [grades] = self.tensors(batch.grades)
        self.network.train()
        with self.arithmetic():
            logits = self.network(crops)
        loss = F.cross_entropy(logits.float(), grades.long(), label_smoothing=self.recipe.smoothing)
        self.descend(loss)
        return {"entropy": float(loss.detach())}


def train(recipe: CropRecipe, data: Path | None, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: an xBD folder; None trains and validates on drawn scenes alone.
        out: the run's folder.
        options: the other choices.
        start: None; these networks start from nothing.

    Raises:
        DataError: ``data`` cannot be read.
        ValueError: no building is graded, or ``last.pt`` is of another recipe.
    """
    pairs, scenes, validation = training_and_validation(data, 0 if data else recipe.scenes)
    towns = [*map(read_town, pairs), *map(read_town, scenes)]
    sampler = Sampler(towns, recipe.draw, options.seed)
    if recipe.epochs is not None:
        recipe = replace(recipe, steps=max(1, recipe.epochs * len(sampler) // recipe.draw.batch))
    run = CropRun(recipe, options)
    run.data = f"{_counted(towns)} of {words_of(pairs, len(scenes))}"
    judged = [read_town(pair) for pair in validation]

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            return metrics(confusion(bench, bench.only, judged))

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def _counted(towns: Sequence[Town]) -> str:
    """Return in words how many buildings there are of each grade."""
    count = Counter(grade for town in towns for grade in town.grades)
    grades = ", ".join(f"{count[grade]} {name}" for grade, name in enumerate(NAMES) if count[grade])
    return f"{count.total()} buildings ({grades})"
