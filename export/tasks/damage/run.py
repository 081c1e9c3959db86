"""One training run of a damage network: what a step does, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.networks import build_network
from export.tasks.damage.inference import network_inputs
from export.tasks.damage.losses import total_loss
from export.tasks.damage.recipe import Recipe
from export.tasks.damage.samples import Batch
from export.training.normed import folded, normalised
from export.training.state import State


class Run(State):
    """A damage network in training."""

    def __init__(self, recipe: Recipe, minutes: float | None, device: str, seed: int) -> None:
        """Start at step 0 with weights drawn from ``seed``; ``minutes`` limits the run's time."""
        torch.manual_seed(seed)
        super().__init__(recipe, _build(recipe), _build(recipe), minutes, device)
        self.recipe, self.seed = recipe, seed
        self._weights = torch.tensor(recipe.class_weights, device=device)

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        images = {"pre": batch.pre, "post": batch.post}
        inputs = network_inputs(images, self.recipe.network, self.recipe.framing, self.device)
        labels, importance = self._tensor(batch.labels), self._tensor(batch.importance)
        self.network.train()
        # bfloat16 halves a step on processors and GPUs that have it; the loss is computed in float32.
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.network(*inputs)
        loss, parts = total_loss(logits, labels, self._weights, importance)
        self.descend(loss)
        return parts

    def export(self, path: Path, data: str) -> None:
        """Write the averaged weights with what a card says of them; ``data`` describes what they were learnt from."""
        recipe = self.recipe
        network = folded(self.average) if recipe.normalised else self.average
        checkpoint = Checkpoint(
            **self.learnt(network, recipe.hyperparameters()),
            architecture=recipe.network,
            width=recipe.width,
            reduction=recipe.reduction,
            threshold=recipe.threshold,
            post_tint=recipe.post_tint,
            recipe=recipe.name,
            seed=self.seed,
            data=data,
        )
        write_checkpoint(checkpoint, path)

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _build(recipe: Recipe) -> nn.Module:
    network = build_network(recipe.network, recipe.width)
    return normalised(network) if recipe.normalised else network
