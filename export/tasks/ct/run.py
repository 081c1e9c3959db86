"""One training run of a network of CT: what a step does, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.networks import build_network
from export.networks.cogseg import CogSeg
from export.tasks.ct.graph import windowed
from export.tasks.ct.losses import cogseg_terms, label_terms
from export.tasks.ct.recipe import SliceRecipe
from export.tasks.ct.samples import Batch
from export.training.state import State, with_channels_last

_SEGMENTATION = "segmentation."


class SliceRun(State):
    """A network of CT in training."""

    def __init__(self, recipe: SliceRecipe, minutes: float | None, device: str, seed: int) -> None:
        """Start at step 0 with weights drawn from ``seed``; ``minutes`` limits the run's time."""
        torch.manual_seed(seed)
        network, average = (with_channels_last(build_network(recipe.network, recipe.width)) for _ in range(2))
        super().__init__(recipe, network, average, minutes, device)
        self.recipe, self.seed = recipe, seed

    def start_from_network(self, checkpoint: Checkpoint) -> None:
        """Begin with every weight of another network that this one has too, in the same shape.

        CogSeg's encoder and segmentation decoder are those of the plain U-Net, known by their names without prefix.
        """
        given = checkpoint.state_dict
        bare = {key: key.removeprefix(_SEGMENTATION) for key in self.network.state_dict()}
        named = {key: given[key if key in given else own] for key, own in bare.items() if key in given or own in given}
        self.start_from(named, f"{checkpoint.architecture}, {checkpoint.recipe}, after {checkpoint.steps} steps")

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        coarse, fine = (
            windowed(torch.from_numpy(units).to(self.device), self.recipe.window)
            for units in (batch.coarse, batch.fine)
        )
        labels = torch.from_numpy(batch.labels).to(self.device).long()
        terms = self._terms(coarse.contiguous(memory_format=torch.channels_last), fine, labels)
        self.descend(torch.stack(list(terms.values())).sum())
        return {name: float(term.detach()) for name, term in terms.items()}

    def export(self, path: Path, data: str, untrained: Sequence[str]) -> None:
        """Write the averaged weights with what a card says of them.

        Args:
            path: the checkpoint.
            data: describes what the weights were learnt from.
            untrained: names of the classes that the data showed none of.
        """
        recipe = self.recipe
        checkpoint = Checkpoint(
            **self.learnt(self.average, recipe.hyperparameters()),
            architecture=recipe.network,
            width=recipe.width,
            reduction=1,
            threshold=recipe.threshold,
            recipe=recipe.name,
            seed=self.seed,
            data=data,
            size=recipe.size,
            window=(recipe.window.low, recipe.window.high),
            untrained=tuple(untrained),
        )
        write_checkpoint(checkpoint, path)

    def _terms(self, coarse: Tensor, fine: Tensor, labels: Tensor) -> dict[str, Tensor]:
        network, weights = self.network.train(), self.recipe.loss
        # bfloat16 halves a step on processors and GPUs that have it; the losses are computed in more.
        with torch.autocast(self.device, torch.bfloat16):
            answer = network(coarse)
        if isinstance(network, CogSeg):
            segmentation, sharpened = answer
            return cogseg_terms(segmentation, sharpened, labels, fine, weights)
        return label_terms(answer, labels, weights)
