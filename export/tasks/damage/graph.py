"""Damage models within their tensor contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.framing import Framing
from export.graphs.served import ServedModel
from export.networks import architecture_of
from export.networks.colours import IMAGENET, Colours, normalise
from export.networks.dahitra import Hierarchy
from export.networks.siamunet_terrain import terrain_channels
from export.parity.cases import label_faults, labels_differ, whole
from export.parity.inputs import Tiles, draw_images, draw_rasters
from export.task import Tensors
from export.tasks.damage.spec import DamageSpec

# Both exporters name the graph's inputs after the arguments of `forward`, hence one class per set of roles.


class ServedImage(ServedModel):
    """A model of the image before the disaster alone."""

    roles = ("pre",)

    def forward(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(pre)


class ServedPair(ServedModel):
    """A model of the images before and after the disaster."""

    roles = ("pre", "post")

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(pre, post)


class ServedSeries(ServedModel):
    """A model of the image before the disaster, of two dates between, and of the last one."""

    roles = ("pre", "between_1", "between_2", "post")

    def forward(self, pre: Tensor, between_1: Tensor, between_2: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(pre, between_1, between_2, post)


class ServedTerrain(ServedModel):
    """A model of the images before and after the disaster, and of what is known of the ground."""

    roles = ("pre", "post")

    def forward(
        self, pre: Tensor, post: Tensor, elevation: Tensor, surface: Tensor, landcover: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        terrain = terrain_channels(elevation, surface, landcover, self.reduction)
        return self.decided(self.network(*self.prepared(pre, post), terrain))


def serve(network: nn.Module, roles: Sequence[str], framing: Framing, colours: Colours = IMAGENET) -> ServedModel:
    """Return `network` wrapped for its input roles, without the parts of it that never run.

    Raises:
        ValueError: no task has these roles.
    """
    network = network.executed() if isinstance(network, Hierarchy) else network
    for served in (ServedImage, ServedPair, ServedSeries):
        if served.roles == tuple(roles):
            return served(network, framing, colours)
    raise ValueError(f"no tensor contract has the inputs {list(roles)}")


def network_inputs(
    images: Mapping[str, NDArray[np.uint8]], architecture: str, framing: Framing, device: str
) -> list[Tensor]:
    """Return what a network takes of reduced uint8 images (N, H, W, 3) RGB by role, in the order of its inputs."""
    tints = {"post": torch.tensor(framing.post_tint, device=device).view(1, 3, 1, 1)}
    nothing, known = torch.zeros(1, device=device), architecture_of(architecture)
    return [normalise(images[role], device, known.colours) + tints.get(role, nothing) for role in known.inputs]


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: DamageSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network."""
    framing, colours = checkpoint.framing, architecture_of(checkpoint.architecture).colours
    if spec.rasters:
        return Graph(ServedTerrain(network, framing, colours), spec.input_specs(), spec.output_specs())
    served = serve(network, spec.inputs, framing, colours)
    return Graph(served, spec.input_specs(), spec.output_specs())


def drawn(inputs: Tensors, kind: Tiles, count: int) -> list[NDArray[Any]]:
    """Return `count` tiles for each input of a graph: images, and rasters, of some of which a part is missing."""
    images = tuple(spec for spec in inputs if len(spec.shape) == 3)
    beside = draw_rasters([spec.name for spec in inputs[len(images) :]], kind, count, inputs[0].shape[0])
    return [*draw_images(images, kind, count), *beside]


faults = label_faults
cases_of = whole(drawn, labels_differ)
