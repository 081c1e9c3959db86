"""Interactive models within their tensor contract: whole, or as an encoder and a head.

Crops are uint8 (N, S, S, 3) RGB, click maps uint8 (N, S, S, M); a network takes both as they are, 0 … 255, neither mean
nor standard deviation. The answer, `probability`, is uint8 (N, S, S) = round(255 · sigmoid).
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.iog import Features, IOGRefine


class ServedCrop(nn.Module):
    """A network that answers a crop and its clicks at once."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network`, which takes (N, 3 + M, S, S) and gives logit maps, the answer last."""
        super().__init__()
        self.network = network
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, crop: Tensor, clicks: Tensor) -> Tensor:
        """Return `probability`."""
        return _probability(self.network(_joined(crop, clicks))[-1], clicks)


class ServedEncoder(nn.Module):
    """The half of IOG's refinement that runs once for a crop."""

    def __init__(self, network: IOGRefine) -> None:
        """Wrap `network`."""
        super().__init__()
        self.backbone = network.backbone
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, crop: Tensor, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return the four feature maps, float16 (N, C, H, W), of a crop and the maps of its first clicks."""
        return tuple(feature.half() for feature in self.backbone(_joined(crop, clicks)))


class ServedHead(nn.Module):
    """The half of IOG's refinement that runs for every click."""

    def __init__(self, network: IOGRefine) -> None:
        """Wrap a copy of `network` without its backbone, which else would be in the file too."""
        super().__init__()
        self.network = deepcopy(network)
        del self.network.backbone
        self.eval().requires_grad_(requires_grad=False)

    def forward(
        self, features_1: Tensor, features_2: Tensor, features_3: Tensor, features_4: Tensor, clicks: Tensor
    ) -> Tensor:
        """Return `probability`, given the features of the encoder and the maps of all clicks so far."""
        features = tuple(feature.float() for feature in (features_1, features_2, features_3, features_4))
        return self.answer(features, clicks)

    def answer(self, features: Features, clicks: Tensor) -> Tensor:
        """Return `probability` for features of full precision."""
        return _probability(self.network.decode(features, _planes(clicks))[-1], clicks)


class Undivided(nn.Module):
    """What encoder and head have to amount to: the network as it was trained, its features not rounded."""

    def __init__(self, network: IOGRefine) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network
        self.head = ServedHead(network)

    def forward(self, crop: Tensor, first: Tensor, clicks: Tensor) -> Tensor:
        """Return `probability` of a crop with the maps of its `first` clicks, and of all clicks so far."""
        return self.head.answer(self.network.encode(_joined(crop, first)), clicks)


def _planes(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float()


def _joined(crop: Tensor, clicks: Tensor) -> Tensor:
    return _planes(torch.cat([crop, clicks], dim=-1))


def _probability(logits: Tensor, clicks: Tensor) -> Tensor:
    """Return logits (N, 1, s, s) as `probability` on the grid of the click maps."""
    full = F.interpolate(logits, size=clicks.shape[1:3], mode="bilinear", align_corners=True)
    return torch.round(255 * full.squeeze(1).sigmoid()).to(torch.uint8)
