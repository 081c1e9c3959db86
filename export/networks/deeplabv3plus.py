"""DeepLabv3+ (Chen et al., 2018): dilated features pooled at several rates, then refined beside finer ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.resnet import DEPTHS, ResNet, stage_channels

RATES = (6, 12, 18)
"""Dilations of the pooling's 3×3 convolutions."""

CHANNELS, LOW_CHANNELS = 256, 48
"""Channels of pooling and decoder, and those that the finest features are brought to, at full width."""

_STRIDES, _DILATIONS = (1, 2, 2, 1), (1, 1, 1, (2, 4, 8))


class DilatedPooling(nn.Module):
    """ASPP: a 1×1 convolution, one of 3×3 for each rate, and the mean of the whole field, side by side, then mixed."""

    def __init__(self, in_channels: int, channels: int, dropout: float, *, normed_mean: bool) -> None:
        """Build the layers; `dropout` is of what they give, in training, `normed_mean` whether the mean is normalised.

        A mean that is needs batches of two: there is one value of each channel.
        """
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*_convolution(in_channels, channels, 1)),
                *(nn.Sequential(*_convolution(in_channels, channels, 3, rate)) for rate in RATES),
            ]
        )
        bare = (nn.Conv2d(in_channels, channels, kernel_size=1), nn.ReLU(inplace=True))
        self.pooled = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), *(_convolution(in_channels, channels, 1) if normed_mean else bare)
        )
        self.project = nn.Sequential(
            *_convolution((len(RATES) + 2) * channels, channels, 1), nn.Dropout(dropout) if dropout else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels, H, W) of (N, C, H, W)."""
        everywhere = self.pooled(x).expand(-1, -1, *x.shape[-2:])
        mixed: Tensor = self.project(torch.cat([*(each(x) for each in self.convs), everywhere], dim=1))
        return mixed


class DeepLabV3Plus(nn.Module):
    """59,463,717 parameters at full width on ResNet-101 with 5 classes.

    Args:
        width: multiplier on all channels.
        depths: bottlenecks per stage.
        classes: label values.
        baseline: as in ZeroWaste's baseline, with a stem of three convolutions, two 3×3 convolutions in the decoder,
            dropout of 0.8 behind the pooling, and its mean not normalised; else as in ReCo, with none of these.
    """

    def __init__(self, width: float, depths: Sequence[int], classes: int, *, baseline: bool = True) -> None:
        """Build the layers."""
        super().__init__()
        self.backbone = ResNet(3, depths, _STRIDES, _DILATIONS, stride_first=False, width=width, deep_stem=baseline)
        finest, *_, deepest = stage_channels(width)
        channels, low = (max(1, round(width * full)) for full in (CHANNELS, LOW_CHANNELS))
        self.aspp = DilatedPooling(deepest, channels, 0.8 if baseline else 0.0, normed_mean=not baseline)
        self.low = nn.Sequential(*_convolution(finest, low, 1))
        self.decoder = nn.Sequential(
            *(
                layer
                for number in range(2 if baseline else 1)
                for layer in _convolution(channels if number else channels + low, channels, 3)
            )
        )
        self.head = nn.Conv2d(channels, classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H / 4, W / 4) of normalised images (N, 3, H, W), multiples of 16."""
        return self.labelled(self.joined(images))

    def joined(self, images: Tensor) -> Tensor:
        """Return the finest features beside the pooled ones, (N, channels + low, H / 4, W / 4)."""
        finest, *_, deepest = self.backbone(images)
        pooled = F.interpolate(self.aspp(deepest), size=finest.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([self.low(finest), pooled], dim=1)

    def labelled(self, joined: Tensor) -> Tensor:
        """Return the logits of joined features."""
        logits: Tensor = self.head(self.decoder(joined))
        return logits

    def labelling(self) -> nn.Module:
        """Return this network: all of it is served."""
        return self


def _convolution(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> tuple[nn.Module, ...]:
    padding = dilation * (kernel // 2)
    return (
        nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


ARCHITECTURES = (
    Architecture(
        "deeplabv3plus",
        lambda width, depths, classes: DeepLabV3Plus(width, depths, classes),
        depths=DEPTHS,
        label_bias="head.bias",
    ),
)
