"""Training of networks of land cover: what a step does, and what a run learns from and validates on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import architecture_of, build_network
from export.networks.colours import normalise
from export.tasks.land.data import UNKNOWN, drawn, only, read_grounds
from export.tasks.land.evaluate import count, metrics
from export.tasks.land.recipe import LandRecipe
from export.tasks.land.samples import Batch, Sampler, load
from export.training.data import few_of_each_source
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last

_WATCHED = 2


class LandRun(Run[LandRecipe, Batch]):
    """A network of land cover in training."""

    def __init__(self, recipe: LandRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe, options, lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths))
        )

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        images = normalise(batch.images, self.device, architecture_of(self.recipe.network).colours)
        [labels] = self.tensors(batch.labels)
        with self.arithmetic():
            logits = self.network.train()(images)
        loss = likelihood_loss(logits.float(), labels.long(), self.recipe.class_weights)
        self.descend(loss)
        return {"likelihood": float(loss.detach())}


def train(recipe: LandRecipe, data: Path | None, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_grounds` takes; None trains and validates on drawn scenes alone.
        out: the run's folder.
        options: the other choices.
        start: a checkpoint to begin with; every weight is taken over that the network has too, in the same shape.

    Raises:
        CheckpointError: ``start`` cannot be read, or the public encoder's weights are not there.
        DataError: ``data`` cannot be read.
        ValueError: there is nothing to train on, or ``last.pt`` is of another recipe.
    """
    grounds = [*([] if data is None else read_grounds(data)), *drawn(recipe.scenes)]
    training = [ground for ground in grounds if ground.split == "train"]
    validation = few_of_each_source((ground for ground in grounds if ground.split == "val"), _WATCHED)
    sampler = Sampler([load(ground) for ground in training], recipe.draw, options.seed)
    run = LandRun(recipe, options)
    run.begin(start, options.encoder)
    sources = Counter(ground.source for ground in training)
    run.data = ", ".join(f"{number} images of {source}" for source, number in sources.items())

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            found = metrics(count(bench, bench.only, validation))
        return {name: value for name, value in found.items() if name.endswith("iou")}

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def likelihood_loss(logits: Tensor, labels: Tensor, class_weights: Sequence[float]) -> Tensor:
    """Return minus the log of the probability of what labels allow, a weighted mean over pixels that say anything.

    Of a class that is its cross-entropy. "Anything but that class" allows all others, whichever of them it is.

    Args:
        logits: float32 (N, C, H, W).
        labels: integers (N, H, W), a bit for each class that is allowed; `UNKNOWN` allows all and counts for nothing.
        class_weights: of labels that name a class; of all others it is 1.
    """
    classes = logits.shape[1]
    sets = torch.arange(1 << classes, device=logits.device)
    allowed = (sets.unsqueeze(1) >> torch.arange(classes, device=logits.device)) & 1 > 0
    weights = torch.ones(len(sets), device=logits.device)
    for value, weight in enumerate(class_weights):
        weights[only(value)] = weight
    weights[UNKNOWN] = 0
    likely = F.log_softmax(logits, dim=1).permute(0, 2, 3, 1)
    of_allowed = likely.masked_fill(~allowed[labels], -torch.inf).logsumexp(dim=-1)
    weight_of = weights[labels]
    return -(weight_of * of_allowed).sum() / weight_of.sum().clamp(min=1)
