"""One training run of a network of waste: what a step does, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.networks import build_network
from export.networks.fanet import FANetUPer
from export.tasks.damage.inference import normalise
from export.tasks.waste.catalogue import LABEL_SETS
from export.tasks.waste.losses import terms
from export.tasks.waste.recipe import WasteRecipe
from export.tasks.waste.samples import Batch
from export.training.normed import folded, normalised
from export.training.state import State, with_channels_last


class WasteRun(State):
    """A network of waste in training."""

    def __init__(self, recipe: WasteRecipe, label_set: str, minutes: float | None, device: str, seed: int) -> None:
        """Start at step 0 with weights drawn from `seed`; `minutes` limits the run's time."""
        torch.manual_seed(seed)
        classes = len(LABEL_SETS[label_set])
        network, average = (with_channels_last(_build(recipe, classes)) for _ in range(2))
        super().__init__(recipe, network, average, minutes, device)
        self.recipe, self.label_set, self.seed = recipe, label_set, seed

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        images = normalise(batch.images, self.device)
        labels = torch.from_numpy(batch.labels).to(self.device).long()
        network = self.network.train()
        # What dropout and stochastic depth draw follows from seed and step: a resumed run draws it again.
        torch.manual_seed((self.seed << 32) + self.step)
        # bfloat16 halves a step on processors and GPUs that have it; the losses are computed in float32.
        with torch.autocast(self.device, torch.bfloat16):
            logits = _heads(network, images)
        found = terms(logits, labels, self.recipe.loss)
        self.descend(torch.stack(list(found.values())).sum())
        return {name: float(term.detach()) for name, term in found.items()}

    def export(self, path: Path, data: str, untrained: Sequence[str]) -> None:
        """Write the averaged weights with what a card says of them.

        Args:
            path: the checkpoint.
            data: describes what the weights were learnt from.
            untrained: names of the classes that the data showed none of.
        """
        recipe = self.recipe
        network = folded(self.average) if recipe.normalised else self.average
        checkpoint = Checkpoint(
            **self.learnt(network, recipe.hyperparameters()),
            architecture=recipe.network,
            width=recipe.width,
            reduction=1,
            threshold=None,
            recipe=recipe.name,
            seed=self.seed,
            data=data,
            depths=recipe.depths or "",
            size=recipe.size,
            untrained=tuple(untrained),
            classes=self.label_set,
        )
        write_checkpoint(checkpoint, path)


def _build(recipe: WasteRecipe, classes: int) -> nn.Module:
    network = build_network(recipe.network, recipe.width, recipe.depths, classes)
    return normalised(network) if recipe.normalised else network


def _heads(network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    return network.with_auxiliary(images) if isinstance(network, FANetUPer) else (network(images),)
