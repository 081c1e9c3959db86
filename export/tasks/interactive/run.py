"""One training run of a network of clicks: what a step does, and what is kept of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.networks import build_network
from export.tasks.interactive.losses import mask_loss
from export.tasks.interactive.recipe import ClickRecipe
from export.tasks.interactive.samples import Batch
from export.tasks.interactive.simulate import likely_click
from export.training.state import State, with_channels_last
from gateway.vision.clicks import as_points, click_map

Pixels = NDArray[np.uint8]

_BACKBONE = "backbone."


class ClickRun(State):
    """A network of clicks in training."""

    def __init__(self, recipe: ClickRecipe, minutes: float | None, device: str, seed: int) -> None:
        """Start at step 0 with weights drawn from ``seed``; ``minutes`` limits the run's time."""
        torch.manual_seed(seed)
        network, average = (
            with_channels_last(build_network(recipe.network, recipe.width, recipe.depths)) for _ in range(2)
        )
        super().__init__(recipe, network, average, minutes, device)
        self.recipe, self.seed = recipe, seed

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
        masks = torch.from_numpy(batch.masks).to(self.device).float()
        network: Any = self.network.train()
        # bfloat16 halves a step on processors and GPUs that have it; the loss is computed in float32.
        autocast = partial(torch.autocast, self.device, torch.bfloat16)
        joined = torch.cat([crops, first], dim=1)
        if not self.recipe.rounds:
            with autocast():
                logits = network(joined)
            loss = mask_loss(logits, masks)
            self.descend(loss)
            return {"first": float(loss.detach())}
        with autocast():
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
            with torch.set_grad_enabled(remaining == 0), autocast():
                logits = network.decode(features, self._tensor(clicks))
        corrected = mask_loss(logits, masks)
        parts["corrected"] = float(corrected.detach())
        self.descend(loss + corrected)
        return parts

    def export(self, path: Path, data: str) -> None:
        """Write the averaged weights with what a card says of them; ``data`` describes what they were learnt from."""
        recipe = self.recipe
        checkpoint = Checkpoint(
            **self.learnt(self.average, recipe.hyperparameters()),
            architecture=recipe.network,
            width=recipe.width,
            depths=recipe.depths,
            size=recipe.geometry.size,
            reduction=1,
            threshold=recipe.threshold,
            recipe=recipe.name,
            seed=self.seed,
            data=data,
        )
        write_checkpoint(checkpoint, path)

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
