"""Training of damage networks: what a step does, and what a run learns from and validates on.

One loss is made of one set of logits, in two factors: where buildings are, and how damaged they are. With logits of
five classes, P(building) = 1 - softmax[0], and the damage of a building is distributed as the softmax of channels 1 to
4 alone. The factors are trained apart, so a rare class does not compete with the background.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import architecture_of, build_network
from export.networks.colours import normalise
from export.networks.siamunet_terrain import terrain_channels
from export.tasks.damage.data import UNCLASSIFIED, training_and_validation, words_of
from export.tasks.damage.evaluate import predictor
from export.tasks.damage.graph import network_inputs
from export.tasks.damage.metrics import CLASSES, count
from export.tasks.damage.recipe import PairRecipe
from export.tasks.damage.samples import Batch, Sampler, load_tile
from export.training.loop import run_to_end
from export.training.normed import folded, normalised
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last


class PairRun(Run[PairRecipe, Batch]):
    """A damage network in training."""

    def __init__(self, recipe: PairRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(recipe, options, lambda: _build(recipe))
        self._weights = torch.tensor(recipe.class_weights, device=self.device)

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        images = {"pre": batch.pre, "post": batch.post}
        inputs = network_inputs(images, self.recipe.network, self.recipe.framing, self.device)
        colours = architecture_of(self.recipe.network).colours
        inputs[1:1] = [normalise(image, self.device, colours) for image in batch.between]
        if batch.rasters:
            elevation, surface, landcover = self.tensors(*batch.rasters)
            inputs.append(terrain_channels(elevation, surface, landcover))
        labels, importance = self.tensors(batch.labels, batch.importance)
        self.network.train()
        with self.arithmetic():
            logits = self.network(*inputs)
        loss, parts = total_loss(logits, labels, self._weights, importance)
        self.descend(loss)
        return parts

    def kept(self) -> nn.Module:
        """Return the averaged network, its normalisation folded away."""
        return folded(self.average) if self.recipe.normalised else self.average


def train(recipe: PairRecipe, data: Path | None, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: an xBD folder; None trains and validates on drawn scenes alone.
        out: the run's folder.
        options: the other choices.
        start: a checkpoint to begin with; every weight is taken over that the network has too, in the same shape.

    Raises:
        CheckpointError: ``start`` cannot be read, or the public encoder's weights are not there.
        DataError: ``data`` cannot be read.
        ValueError: there is nothing to train on, or ``last.pt`` is of another recipe.
    """
    training, scenes, validation = training_and_validation(data, recipe.scenes)
    photographs = [load_tile(pair, recipe.reduction) for pair in training]
    rasters = architecture_of(recipe.network).rasters
    drawn = [load_tile(pair, recipe.reduction, pair.read_terrain() if rasters else None) for pair in scenes]
    events = [pair.event for pair in training]
    sampler = Sampler(photographs, drawn, recipe.draw, options.seed, events, rasters, recipe.reduction)
    run = PairRun(recipe, options)
    run.begin(start, options.encoder)
    run.data = words_of(training, recipe.scenes)

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        """Return the validation figures; damage only from networks that tell it."""
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            counts = count(predictor(bench, bench.only), validation).counts
        found = {"localisation F1": counts.localisation.f1}
        if "post" in architecture_of(recipe.network).inputs:
            found |= {f"{name} F1": f1 for name, f1 in zip(CLASSES[1:], counts.damage_f1, strict=True)}
            found |= {"damage harmonic": counts.damage_harmonic, "xView2 score": counts.score}
        return found

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def _build(recipe: PairRecipe) -> nn.Module:
    network = build_network(recipe.network, recipe.width, recipe.depths)
    if recipe.pretrained:
        network = with_channels_last(network)
    return normalised(network) if recipe.normalised else network


def building_logit(logits: Tensor) -> Tensor:
    """Return log odds (N, H, W) of "building" of logits (N, C, H, W) whose channel 0 is the background."""
    return logits[:, 1:].logsumexp(dim=1) - logits[:, 0]


def localisation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice of "building"; ``labels`` (N, H, W), every value > 0 is building."""
    odds = building_logit(logits)
    target = (labels > 0).to(odds.dtype)
    probability = odds.sigmoid()
    dice = 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    return F.binary_cross_entropy_with_logits(odds, target) + dice


def damage_loss(logits: Tensor, labels: Tensor, weights: Tensor, importance: Tensor) -> Tensor:
    """Return weighted cross-entropy plus soft Dice of the damage classes over classified building pixels.

    ``weights`` (4) are the classes' weights; ``importance`` (N, H, W) says how much a pixel counts, and lets a small
    building count like a large one. Without any such pixel the loss is 0.
    """
    judged = (labels > 0) & (labels != UNCLASSIFIED)
    damage = logits[:, 1:].permute(0, 2, 3, 1)[judged]
    target = labels[judged].long() - 1
    pixel = importance[judged]
    weight = pixel * weights[target]
    entropy = (F.cross_entropy(damage, target, reduction="none") * weight).sum() / weight.sum().clamp_min(1e-6)
    one_hot = F.one_hot(target, weights.numel()).to(damage.dtype)
    probability = damage.softmax(dim=1)
    overlap = (pixel[:, None] * probability * one_hot).sum(dim=0)
    size = (pixel[:, None] * (probability + one_hot)).sum(dim=0)
    present = (one_hot.sum(dim=0) > 0).to(damage.dtype)
    dice = ((1 - (2 * overlap + 1e-3) / (size + 1e-3)) * present).sum() / present.sum().clamp_min(1)
    return entropy + dice


def total_loss(logits: Tensor, labels: Tensor, weights: Tensor, importance: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Return the loss to minimise and its parts by name; two classes have no damage term."""
    logits = logits.float()
    localisation = localisation_loss(logits, labels)
    if logits.shape[1] == 2:
        return localisation, {"localisation": float(localisation.detach())}
    damage = damage_loss(logits, labels, weights, importance)
    parts = torch.stack([localisation, damage]).detach().tolist()
    return localisation + damage, dict(zip(("localisation", "damage"), parts, strict=True))
