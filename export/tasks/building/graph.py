"""A model that grades one building, within its tensor contract."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.colours import IMAGENET


class ServedBuilding(nn.Module):
    """A network that takes a crop as it was cut and answers with a score per grade."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network`, which takes normalised (N, 3, S, S) crops and gives logits (N, C)."""
        super().__init__()
        self.network = network
        mean, std = (torch.tensor(constant).view(1, 3, 1, 1) for constant in (IMAGENET.mean, IMAGENET.std))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("offset", -mean / std)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, crop: Tensor) -> Tensor:
        """Return `scores`, float32 (N, C), softmax, of uint8 crops (N, S, S, 3) RGB."""
        pixels = crop.permute(0, 3, 1, 2).float() * self.scale + self.offset
        scores: Tensor = self.network(pixels).softmax(dim=-1)
        return scores
