"""Training of networks of clicks: what a step does and makes small, and what a run learns from and validates on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.errors import DataError
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import build_network
from export.tasks.interactive.benchmark import mean_ious, traces
from export.tasks.interactive.data import LabelledObject, read_objects
from export.tasks.interactive.methods import model_method
from export.tasks.interactive.recipe import ClickRecipe
from export.tasks.interactive.samples import Batch, Sampler, load_photo
from export.tasks.interactive.simulate import likely_click
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last
from gateway.vision.clicks import as_points, click_map

Pixels = NDArray[np.uint8]

_BACKBONE = "backbone."
_FURTHER = 5

_SIDE = 0.25
"""How much the cross-entropy of a map on the way to the answer counts."""


class ClickRun(Run[ClickRecipe, Batch]):
    """A network of clicks in training."""

    def __init__(self, recipe: ClickRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe, options, lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths))
        )

    def start_from_network(self, checkpoint: Checkpoint) -> None:
        """Begin with every weight of another network that this one has too, in the same shape.

        DEXTR is its backbone, the others hold one: the same layers are known by their names without that prefix.
        """
        given = {key.removeprefix(_BACKBONE): weight for key, weight in checkpoint.state_dict.items()}
        own = {key: key.removeprefix(_BACKBONE) for key in self.network.state_dict()}
        named = {key: given[bare] for key, bare in own.items() if bare in given}
        self.start_from(named, f"{checkpoint.architecture}, {checkpoint.recipe}")

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        crops, first = self._tensor(batch.crops), self._tensor(batch.clicks)
        masks = self.tensors(batch.masks)[0].float()
        network: Any = self.network.train()
        joined = torch.cat([crops, first], dim=1)
        if not self.recipe.rounds:
            with self.arithmetic():
                logits = network(joined)
            loss = mask_loss(logits, masks)
            self.descend(loss)
            return {"first": float(loss.detach())}
        with self.arithmetic():
            features = network.encode(joined)
            logits = network.decode(features, first)
        loss = mask_loss(logits, masks)
        parts = {"first": float(loss.detach())}
        # How often each batch is corrected depends on its number alone, so that a resumed run does the same.
        rng = np.random.default_rng((self.seed, self.step))
        clicks = batch.clicks.copy()
        for remaining in reversed(range(int(rng.integers(1, self.recipe.rounds + 1)))):
            clicks = self._corrected(logits[-1], batch.masks, clicks, rng)
            # Only the last correction is learnt from: those before it lead to where a person would be by then.
            with torch.set_grad_enabled(remaining == 0), self.arithmetic():
                logits = network.decode(features, self._tensor(clicks))
        corrected = mask_loss(logits, masks)
        parts["corrected"] = float(corrected.detach())
        if self.recipe.promise:
            further = self._tensor(_further(clicks, batch.clicks)).amax(dim=1) / 255
            promised = promise_loss(logits[-1], masks, further)
            corrected = corrected + self.recipe.promise * promised
            parts["promised"] = float(promised.detach())
        self.descend(loss + corrected)
        return parts

    def _corrected(self, logits: Tensor, masks: Pixels, clicks: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the click maps with one more click in each sample that still has an error."""
        size, sigma = self.recipe.geometry.size, self.recipe.geometry.sigma
        answers = F.interpolate(logits.detach().float(), size=(size, size), mode="bilinear", align_corners=True) > 0
        corrected = clicks.copy()
        for index, answer in enumerate(answers.squeeze(1).cpu().numpy()):
            click = likely_click(answer, masks[index] > 0, rng)
            if click is not None:
                channel = corrected[index, ..., 0 if click.positive else 1]
                np.maximum(channel, click_map(as_points([(click.x, click.y)]), size, sigma), out=channel)
        return corrected

    def _tensor(self, images: Pixels) -> Tensor:
        return torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float()


def _further(clicks: Pixels, first: Pixels) -> Pixels:
    """Return the click maps (N, S, S, 2) without the corners of the box, which promise nothing."""
    further = clicks.copy()
    further[..., 1][clicks[..., 1] == first[..., 1]] = 0
    return further


def train(recipe: ClickRecipe, data: Path, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_objects` takes, with the splits "train" and "val".
        out: the run's folder.
        options: the other choices.
        start: a checkpoint to begin with; every weight is taken over that the network has too, in the same shape.

    Raises:
        CheckpointError: the public encoder's weights are not there.
        DataError: ``data`` cannot be read, or lacks one of the splits.
        ValueError: ``last.pt`` is of another recipe.
    """
    objects = read_objects(data)
    training, validation = ([each for each in objects if each.split == split] for split in ("train", "val"))
    if not training or not validation:
        raise DataError(f"{data} lacks the split {'val' if training else 'train'}")
    photos = [load_photo(each) for each in training]
    sources = [each.source for each in training]
    sampler = Sampler(photos, recipe.geometry, recipe.prompt, recipe.draw, options.seed, sources)
    run = ClickRun(recipe, options)
    run.begin(start, options.encoder)
    run.data = words_of(training)

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        """Return the mean IoU after the first clicks, and after five more where the network takes any."""
        served = of_checkpoint(checkpoint, device=options.device)
        with Bench(served) as bench:
            method = model_method(bench, served[-1].model.name)
            ious = mean_ious(traces(bench, method, validation, _FURTHER))
        shown = {0: ious[0], len(ious) - 1: ious[-1]}
        return {f"IoU after {method.first + further} clicks": iou for further, iou in shown.items()}

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def words_of(training: Sequence[LabelledObject]) -> str:
    """Return in words what a network was learnt from: objects, and how many of each collection."""
    sources = Counter(each.source for each in training if each.source)
    listed = ", ".join(f"{count} {source}" for source, count in sources.most_common())
    return f"{len(training)} labelled objects" + (f" ({listed})" if listed else "") + " and composites made from them"


def mask_loss(logits: Sequence[Tensor], masks: Tensor) -> Tensor:
    """Return cross-entropy and soft Jaccard distance of the answer, and cross-entropy of the maps on the way to it.

    Args:
        logits: (N, 1, s, s) each, the answer last; interpolated to the masks' size as the served graph does.
        masks: float (N, S, S), 1 where the object is.
    """
    *sides, answer = (_at_size(each, masks.shape[-1]) for each in logits)
    loss = F.binary_cross_entropy_with_logits(answer, masks) + jaccard_distance(answer.sigmoid(), masks)
    for side in sides:
        loss = loss + _SIDE * F.binary_cross_entropy_with_logits(side, masks)
    return loss


def promise_loss(logits: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """Return the cross-entropy of the answer where people clicked, averaged over these places.

    Args:
        logits: (N, 1, s, s), the answer; interpolated as in `mask_loss`.
        masks: as there.
        weights: float (N, S, S), how much a pixel is of a click, 0 … 1.
    """
    entropy = F.binary_cross_entropy_with_logits(_at_size(logits, masks.shape[-1]), masks, reduction="none")
    return (entropy * weights).sum() / weights.sum().clamp_min(1)


def jaccard_distance(probability: Tensor, masks: Tensor) -> Tensor:
    """Return 1 − Σmin/Σmax of each sample's probabilities and mask, (N, S, S), averaged over the samples."""
    overlap = torch.minimum(probability, masks).sum(dim=(1, 2))
    union = torch.maximum(probability, masks).sum(dim=(1, 2))
    return (1 - (overlap + 1) / (union + 1)).mean()


def _at_size(logits: Tensor, size: int) -> Tensor:
    resized = F.interpolate(logits.float(), size=(size, size), mode="bilinear", align_corners=True)
    return resized.squeeze(1)
