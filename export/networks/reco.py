"""ReCo's network (Liu et al., 2022): DeepLabv3+ with a second head, whose vectors training pulls together by class."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.deeplabv3plus import CHANNELS, LOW_CHANNELS, DeepLabV3Plus
from export.networks.resnet import DEPTHS


class ReCo(nn.Module):
    """59,516,581 parameters at full width on ResNet-101 with 5 classes, the head of vectors included."""

    def __init__(self, width: float, depths: Sequence[int], classes: int) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__()
        self.network = DeepLabV3Plus(width, depths, classes, baseline=False)
        channels, low = (max(1, round(width * full)) for full in (CHANNELS, LOW_CHANNELS))
        self.representation = nn.Sequential(
            nn.Conv2d(channels + low, channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel_size=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H / 4, W / 4) of normalised images (N, 3, H, W), multiples of 16."""
        logits: Tensor = self.network(images)
        return logits

    def with_representation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return those logits, and a vector for each of their pixels (N, channels, H / 4, W / 4)."""
        joined = self.network.joined(images)
        return self.network.labelled(joined), self.representation(joined)

    def labelling(self) -> nn.Module:
        """Return this network without the head of vectors, which is not served; layers are shared."""
        return self.network


ARCHITECTURES = (
    Architecture(
        "reco",
        lambda width, depths, classes: ReCo(width, depths, classes),
        depths=DEPTHS,
        stages=(r"network\.backbone\.layer([1-4])\.(\d+)\.", "1234"),
        label_bias="network.head.bias",
    ),
)
