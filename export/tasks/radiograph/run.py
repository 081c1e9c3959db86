"""One training run of a network of radiographs: what a step does, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.errors import CheckpointError
from export.networks import build_network
from export.networks.keras_layers import FilmNetwork
from export.tasks.radiograph.data import Grey
from export.tasks.radiograph.recipe import FilmRecipe
from export.tasks.radiograph.samples import Batch
from export.training.state import State, with_channels_last

THRESHOLD = 0.5
"""Of P(COVID-19): what argmax of two classes is."""

_BACKBONE = "backbone."
_SEEDS = 1_000_003


class FilmRun(State):
    """A network of radiographs in training."""

    def __init__(self, recipe: FilmRecipe, minutes: float | None, device: str, seed: int) -> None:
        """Start at step 0 with weights drawn from ``seed``; ``minutes`` limits the run's time."""
        torch.manual_seed(seed)
        network, average = (
            with_channels_last(build_network(recipe.network, recipe.width, recipe.depths)) for _ in range(2)
        )
        super().__init__(recipe, network, average, minutes, device)
        self.recipe, self.seed = recipe, seed

    def start_from_backbone(self, checkpoint: Checkpoint) -> None:
        """Begin with the backbone of another checkpoint, which may hold nothing else; the recipe may fix it.

        Raises:
            CheckpointError: it is of another architecture, width or depth.
        """
        backbone = cast(FilmNetwork, self.network).backbone
        given = {
            key.removeprefix(_BACKBONE): weight
            for key, weight in checkpoint.state_dict.items()
            if key.startswith(_BACKBONE)
        }
        try:
            backbone.load_state_dict(given, strict=True)
        except RuntimeError as error:
            raise CheckpointError(f"the start's backbone is not this network's: {error}") from error
        backbone.requires_grad_(not self.recipe.fixed)
        self.average.load_state_dict(self.network.state_dict())
        self.started = f"backbone of {checkpoint.architecture}, {checkpoint.recipe}"

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        network, recipe = cast(FilmNetwork, self.network.train()), self.recipe
        if recipe.fixed and self.started:
            # Its normalisation keeps the statistics it came with.
            network.backbone.eval()
        # What dropout leaves out depends on the step alone, so that a resumed run does the same.
        torch.manual_seed(_SEEDS * self.seed + self.step)
        films, values = network_input(batch.films, self.device), torch.from_numpy(batch.values).to(self.device)
        # bfloat16 shortens a step on processors and GPUs that have it; the losses are computed in float32.
        with torch.autocast(self.device, torch.bfloat16):
            activity = network.head.activity(network.backbone(films))
            logits = network.head.classify(activity)
        terms = {"entropy": F.cross_entropy(logits.float(), values, label_smoothing=recipe.smoothing)}
        if recipe.activity:
            wide = activity.float()
            terms["activity"] = recipe.activity * (wide.abs() + wide.square()).sum(dim=1).mean()
        self.descend(torch.stack(list(terms.values())).sum())
        return {name: float(term.detach()) for name, term in terms.items()}

    def scores(self, films: Grey) -> Tensor:
        """Return P(COVID-19) (N,) of films (N, S, S), by the averaged weights."""
        with torch.inference_mode():
            answer: Tensor = self.average(network_input(films, self.device)).float().softmax(dim=1)[:, 0]
        return answer.cpu()

    def export(self, path: Path, data: str) -> None:
        """Write the averaged weights with what a card says of them; ``data`` describes what they were learnt from."""
        recipe = self.recipe
        checkpoint = Checkpoint(
            **self.learnt(self.average, recipe.hyperparameters()),
            architecture=recipe.network,
            width=recipe.width,
            depths=recipe.depths,
            size=recipe.size,
            reduction=1,
            threshold=THRESHOLD,
            recipe=recipe.name,
            seed=self.seed,
            data=data,
        )
        write_checkpoint(checkpoint, path)


def network_input(films: Grey, device: str) -> Tensor:
    """Return grey films, uint8 (N, S, S), as a network takes them: float32 (N, 3, S, S) in [0, 1], channels last."""
    grey = torch.from_numpy(films).to(device).unsqueeze(1).float() / 255
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
