"""The state of one training run: what a step changes, and what a resumed run needs."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.architectures import build_network
from export.checkpoints import Checkpoint, write_checkpoint
from export.training.inference import network_inputs
from export.training.losses import total_loss
from export.training.normed import folded, normalised
from export.training.recipes import Recipe
from export.training.samples import Batch

_WARM_UP = 0.03
_LARGEST_GRADIENT = 5.0


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the rate at ``progress`` in [0, 1] of the run."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if progress < _WARM_UP:
        return recipe.learning_rate * max(progress / _WARM_UP, 0.1)
    return recipe.learning_rate * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2


def average_into(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average's weights and statistics towards the network's: decay of the old, the rest of the new."""
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)


class Run:
    """A network in training, its running average, optimiser, step count and clock."""

    def __init__(self, recipe: Recipe, minutes: float | None, device: str, seed: int) -> None:
        """Start at step 0 with weights drawn from ``seed``; ``minutes`` limits the run's time."""
        torch.manual_seed(seed)
        self.recipe, self.device, self.seed = recipe, device, seed
        self.network, self.average = (self._build().to(device) for _ in range(2))
        self.average.load_state_dict(self.network.state_dict())
        self.average.eval()
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, float]] = []
        self._limit = math.inf if minutes is None else 60 * minutes
        self._weights = torch.tensor(recipe.class_weights, device=device)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._since = time.monotonic()

    @property
    def progress(self) -> float:
        """Return how much of the run is done, by steps or by time, 0 to 1."""
        return min(1.0, max(self.step / self.recipe.steps, self.seconds / self._limit))

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe, self.progress)
        images = {"pre": batch.pre, "post": batch.post}
        inputs = network_inputs(images, self.recipe.network, self.recipe.framing, self.device)
        labels, importance = self._tensor(batch.labels), self._tensor(batch.importance)
        self.network.train()
        # bfloat16 halves a step on processors and GPUs that have it; the loss is computed in float32.
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.network(*inputs)
        loss, parts = total_loss(logits, labels, self._weights, importance)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        self.step += 1
        # Early on the average follows closely: else it would remember the untrained weights for long.
        average_into(self.average, self.network, min(self.recipe.average, (1 + self.step) / (10 + self.step)))
        self.tick()
        return parts

    def tick(self) -> None:
        """Add the time since the last tick to the clock."""
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now

    def save(self, path: Path) -> None:
        """Write everything that ``load`` needs; a kill meanwhile leaves the former file."""
        state = {
            "recipe": repr(self.recipe),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: the file is of a run with another recipe.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["recipe"] != repr(self.recipe):
            raise ValueError(f"{path} is of another recipe; choose another folder or do not resume")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self._since = time.monotonic()

    def export(self, path: Path, data: str) -> None:
        """Write the averaged weights with what a card says of them; ``data`` describes what they were learnt from."""
        recipe = self.recipe
        network = folded(self.average) if recipe.normalised else self.average
        checkpoint = Checkpoint(
            state_dict={name: value.cpu().contiguous() for name, value in network.state_dict().items()},
            architecture=recipe.network,
            width=recipe.width,
            reduction=recipe.reduction,
            threshold=recipe.threshold,
            post_tint=recipe.post_tint,
            recipe=recipe.name,
            steps=self.step,
            seconds=self.seconds,
            device=self.device,
            seed=self.seed,
            data=data,
            hyperparameters=recipe.hyperparameters(),
        )
        write_checkpoint(checkpoint, path)

    def _build(self) -> nn.Module:
        network = build_network(self.recipe.network, self.recipe.width)
        return normalised(network) if self.recipe.normalised else network

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)
