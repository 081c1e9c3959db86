"""One training run of a network that grades one building: what a step does, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.networks import build_network
from export.tasks.building.recipe import CropRecipe
from export.tasks.building.samples import Batch
from export.tasks.damage.inference import normalise
from export.training.state import State, with_channels_last


class CropRun(State):
    """A network of crops in training."""

    def __init__(self, recipe: CropRecipe, minutes: float | None, device: str, seed: int) -> None:
        """Start at step 0 with weights drawn from ``seed``; ``minutes`` limits the run's time."""
        torch.manual_seed(seed)
        network, average = (
            with_channels_last(build_network(recipe.network, recipe.width, recipe.depths)) for _ in range(2)
        )
        super().__init__(recipe, network, average, minutes, device)
        self.recipe, self.seed = recipe, seed

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its loss by name."""
        crops = normalise(batch.crops, self.device)
        grades = torch.from_numpy(batch.grades).to(self.device).long()
        self.network.train()
        # bfloat16 halves a step on processors and GPUs that have it; the loss is computed in float32.
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.network(crops)
        loss = F.cross_entropy(logits.float(), grades, label_smoothing=self.recipe.smoothing)
        self.descend(loss)
        return {"entropy": float(loss.detach())}

    def export(self, path: Path, data: str) -> None:
        """Write the averaged weights with what a card says of them; ``data`` describes what they were learnt from."""
        recipe = self.recipe
        checkpoint = Checkpoint(
            **self.learnt(self.average, recipe.hyperparameters()),
            architecture=recipe.network,
            width=recipe.width,
            reduction=1,
            threshold=None,
            recipe=recipe.name,
            seed=self.seed,
            data=data,
            depths=recipe.depths,
            size=recipe.draw.size,
        )
        write_checkpoint(checkpoint, path)
