"""CCT's network (Ouali et al., 2020): one decoder that is served, and others that only training asks.

The others see features that were disturbed, see `export.tasks.waste.consistency`; they have the layers of the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log2
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.pyramid import BINS, AveragePool
from export.networks.resnet import RESNET26, RESNET50, ResNet, stage_channels
from export.networks.uperhead import Convolution

STRIDE = 8
"""Of the features that decoders take."""

DECODERS = {"vat": 2, "drop": 6, "cut": 6, "context": 2, "object": 2, "feature-drop": 6, "noise": 6}
"""How features are disturbed → how many decoders see them so, in the paper."""

_FEW = dict.fromkeys(DECODERS, 1)


class Encoder(nn.Module):
    """A dilated ResNet with a stem of three convolutions, and pyramid pooling mixed by a 3×3 convolution."""

    def __init__(self, width: float, depths: tuple[int, ...]) -> None:
        """Build the layers."""
        super().__init__()
        self.base = ResNet(3, depths, (1, 2, 1, 1), (1, 1, 2, 4), stride_first=False, width=width, deep_stem=True)
        deepest = stage_channels(width)[-1]
        self.channels = deepest // 4
        self.pools = nn.ModuleList(
            nn.Sequential(AveragePool(bins), Convolution(deepest, self.channels, 1)) for bins in BINS
        )
        self.mixing = Convolution(deepest + len(BINS) * self.channels, self.channels, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, channels, H / 8, W / 8) of images (N, 3, H, W)."""
        deepest = self.base(images)[-1]
        size = deepest.shape[-2:]
        pooled = [F.interpolate(pool(deepest), size=size, mode="bilinear", align_corners=False) for pool in self.pools]
        mixed: Tensor = self.mixing(torch.cat([deepest, *pooled], dim=1))
        return mixed


class CCT(nn.Module):
    """46,708,520 parameters that are served, at full width on ResNet-50 with 5 classes, and 30 decoders for training.

    Args:
        width: multiplier on all channels.
        depths: bottlenecks per stage.
        decoders: see `DECODERS`.
        classes: label values.
    """

    def __init__(self, width: float, depths: tuple[int, ...], decoders: dict[str, int], classes: int) -> None:
        """Build the layers."""
        super().__init__()
        self.encoder = Encoder(width, depths)
        self.main_decoder = _decoder(self.encoder.channels, classes)
        self.disturbances = tuple(name for name, count in decoders.items() for _ in range(count))
        self.auxiliary = nn.ModuleList(_decoder(self.encoder.channels, classes) for _ in self.disturbances)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W), multiples of 8."""
        logits: Tensor = self.main_decoder(self.encoder(images))
        return logits

    def others(self) -> list[tuple[str, nn.Sequential]]:
        """Return the auxiliary decoders, each after how the features that it sees are disturbed."""
        return list(zip(self.disturbances, cast(Iterable[nn.Sequential], self.auxiliary), strict=True))

    def labelling(self) -> nn.Module:
        """Return this network without the decoders that are not served; layers are shared."""
        return nn.Sequential(self.encoder, self.main_decoder)


def _decoder(channels: int, classes: int) -> nn.Sequential:
    """Return a classifier, and convolutions that double the labels' pixels three times; 2,920 parameters of 512
    channels."""
    doublings: list[nn.Module] = []
    for _ in range(int(log2(STRIDE))):
        doublings += [nn.Conv2d(classes, 4 * classes, kernel_size=1), nn.ReLU(inplace=True), nn.PixelShuffle(2)]
    return nn.Sequential(nn.Conv2d(channels, classes, kernel_size=1, bias=False), *doublings)


def _built(width: float, depths: tuple[int, ...], classes: int) -> CCT:
    # The demonstration's backbone learns with one decoder of each kind: thirty would be most of its time.
    return CCT(width, depths, _FEW if depths == RESNET26 else DECODERS, classes)


ARCHITECTURES = (
    Architecture(
        "cct",
        _built,
        depths={"resnet50": RESNET50, "resnet26": RESNET26},
        stages=(r"encoder\.base\.layer([1-4])\.(\d+)\.", "1234"),
        label_bias="main_decoder.0.weight",
    ),
)
