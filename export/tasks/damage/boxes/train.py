"""Training of networks that find buildings as boxes: what a step does, and what a run learns from and validates on."""

from __future__ import annotations

from pathlib import Path

from export.checkpoints.files import Checkpoint
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import architecture_of, build_network
from export.networks.colours import normalise
from export.tasks.damage.boxes.data import read_numbered, read_truth
from export.tasks.damage.boxes.evaluate import find
from export.tasks.damage.boxes.losses import detection_loss
from export.tasks.damage.boxes.metrics import metrics
from export.tasks.damage.boxes.recipe import BoxRecipe
from export.tasks.damage.boxes.samples import Batch, Sampler
from export.tasks.damage.data import training_and_validation, words_of
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last


class BoxRun(Run[BoxRecipe, Batch]):
    """A network of boxes in training."""

    def __init__(self, recipe: BoxRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe, options, lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths))
        )

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        colours = architecture_of(self.recipe.network).colours
        pre, post = (normalise(images, self.device, colours) for images in (batch.pre, batch.post))
        boxes = [self.tensors(truth.boxes)[0].float() for truth in batch.truths]
        values = [self.tensors(truth.values)[0] for truth in batch.truths]
        self.network.train()
        with self.arithmetic():
            answers = self.network(pre, post)
        loss, parts = detection_loss(answers.float(), boxes, values, pre.shape[-1])
        self.descend(loss)
        return parts


def train(recipe: BoxRecipe, data: Path | None, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: an xBD folder; None trains and validates on drawn scenes alone.
        out: the run's folder.
        options: the other choices.
        start: None; these networks start from nothing.

    Raises:
        DataError: ``data`` cannot be read.
        ValueError: there is nothing to train on, or ``last.pt`` is of another recipe.
    """
    training, scenes, validation = training_and_validation(data, recipe.scenes)
    # On a label map alone buildings that touch are one: whole blocks of a town.
    training = [pair for pair in training if pair.polygons] or training
    photographs, drawn = ([read_numbered(pair) for pair in pairs] for pairs in (training, scenes))
    sampler = Sampler(photographs, drawn, recipe.draw, options.seed, [pair.event for pair in training])
    run = BoxRun(recipe, options)
    run.data = words_of(training, recipe.scenes)
    truths = [read_truth(pair) for pair in validation]

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            return metrics(find(bench, bench.only, validation), truths)

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)
