"""CNN: ResNet-50 with a head of four, which grades one building on a crop of the image after the disaster."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.resnet import DEPTHS, RESNET50, ResNet, stage_channels

GRADES = 4
"""No damage, minor, major, destroyed."""


class CNN(ResNet):
    """ResNet-50 in torchvision's names: 23,516,228 parameters at full width.

    The paper speaks of a pre-trained ResNet and does not say how deep.

    Args:
        width: multiplier on all channels; 1.0 is the original's.
        depths: bottlenecks per stage.
    """

    def __init__(self, width: float = 1.0, depths: Sequence[int] = RESNET50) -> None:
        """Build the layers."""
        super().__init__(3, depths, (1, 2, 2, 2), (1, 1, 1, 1), stride_first=False, width=width)
        self.fc = nn.Linear(stage_channels(width)[-1], GRADES)

    def forward(self, crops: Tensor) -> Tensor:  # type: ignore[override]
        """Return logits (N, 4) of normalised crops (N, 3, S, S)."""
        logits: Tensor = self.fc(super().forward(crops)[-1].mean(dim=(2, 3)))
        return logits


ARCHITECTURES = (Architecture("cnn", lambda width, depths, _: CNN(width, depths), DEPTHS, usual="resnet50"),)
