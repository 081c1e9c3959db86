"""A network in training, in and out of torch: what it takes, and what it would answer if it were served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graphs.framing import Framing
from export.graphs.runners import Pixels
from export.networks import INPUTS, colours_of
from export.networks.colours import IMAGENET, Colours
from export.tasks.catalogue import entry_of
from export.tasks.damage.evaluate import Predictor
from export.tasks.damage.graph import serve
from export.tasks.damage.tiled import TiledModel
from export.tasks.specs import DamageEntry


def normalise(images: NDArray[np.uint8], device: str, colours: Colours = IMAGENET) -> Tensor:
    """Return uint8 images (N, H, W, 3) RGB as normalised float32 (N, 3, H, W) in channels-last memory."""
    if colours.order == "bgr":
        images = np.ascontiguousarray(images[..., ::-1])
    # The view from NHWC to NCHW is channels-last already: nothing is copied to reorder it.
    batch = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
    mean, std = (
        torch.tensor(constant, device=device).view(1, 3, 1, 1) * 255 for constant in (colours.mean, colours.std)
    )
    return (batch - mean) / std


def network_inputs(
    images: Mapping[str, NDArray[np.uint8]], architecture: str, framing: Framing, device: str
) -> list[Tensor]:
    """Return what a network takes of reduced uint8 images (N, H, W, 3) RGB by role, in the order of its inputs."""
    tints = {"post": torch.tensor(framing.post_tint, device=device).view(1, 3, 1, 1)}
    nothing, colours = torch.zeros(1, device=device), colours_of(architecture)
    return [normalise(images[role], device, colours) + tints.get(role, nothing) for role in INPUTS[architecture]]


def served_predictor(network: nn.Module, architecture: str, framing: Framing, device: str) -> Predictor:
    """Return the network as a predictor of label maps that tiles, blends and decides as the gateway does."""
    entry = entry_of(architecture, DamageEntry)
    model = serve(network, entry.inputs, framing, colours_of(architecture)).to(device)

    def run(images: Sequence[Pixels]) -> tuple[Pixels, ...]:
        with torch.inference_mode():
            label_map, probabilities = model(*(torch.from_numpy(image).to(device) for image in images))
        return label_map.cpu().numpy(), probabilities.cpu().numpy()

    names = tuple(spec.name for spec in entry.classes)
    # Weights in training are no file yet, and so have no digest.
    return TiledModel(run, entry.inputs, entry.tile, entry.overlap, names, framing.threshold, source_digest="").predict
