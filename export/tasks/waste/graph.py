"""Models of waste within their tensor contract."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from export.graphs.framing import Framing
from export.networks.fanet import FANetUPer
from export.tasks.damage.graph import ServedModel


def at_size(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return logits (N, C, h, w) as (N, C, *size), bilinear; of that size already they stay as they are."""
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


class AtImageSize(nn.Module):
    """A network whose logits are interpolated to the size of its images, bilinearly."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of images (N, 3, H, W)."""
        return at_size(self.network(image), image.shape[-2:])


class ServedPhoto(ServedModel):
    """A model of one photograph, at the scale that the card's `resize` states."""

    roles = ("image",)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(image)


def serve_photo(network: nn.Module, threshold: float | None) -> ServedPhoto:
    """Return a network of waste wrapped for its tiles, without a head that only training asks."""
    labelling = AtImageSize(network.labelling()) if isinstance(network, FANetUPer) else network
    return ServedPhoto(labelling, Framing(threshold=threshold))
