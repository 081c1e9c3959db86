"""The two-dimensional DenseUNet of H-DenseUNet (Li et al., 2018): DenseNet-161 as a U-Net's encoder, skips summed.

Its `Scale` layers, which Keras keeps apart, are in the batch normalisation before them. Its hybrid half, which works on
volumes, is out of scope: a graph here takes one slice.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture


class Depths(NamedTuple):
    """How large the encoder is.

    Attributes:
        growth: channels that each dense layer adds, at full width.
        layers: dense layers of each block.
        decoder: channels of the five decoder stages.
    """

    growth: int
    layers: tuple[int, ...]
    decoder: tuple[int, ...]


DENSENET161 = Depths(48, (6, 12, 36, 24), (768, 384, 96, 96, 64))
SMALL = Depths(48, (3, 6, 9, 6), (768, 384, 96, 96, 64))
_BOTTLENECK = 4


class DenseLayer(nn.Module):
    """Adds `growth` channels to those that it takes."""

    def __init__(self, in_channels: int, growth: int) -> None:
        """Build the layers."""
        super().__init__()
        inner = _BOTTLENECK * growth
        self.layers = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=False),
            nn.Conv2d(in_channels, inner, kernel_size=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, growth, kernel_size=3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C + growth, H, W) of (N, C, H, W)."""
        return torch.cat([x, self.layers(x)], dim=1)


class DenseUNet(nn.Module):
    """49,527,908 parameters at full width and depth with 3 channels in and 4 classes."""

    def __init__(self, width: float, depths: Depths, in_channels: int = 3, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``; a one-channel picture is repeated."""
        super().__init__()
        self.in_channels = in_channels
        growth = max(1, round(width * depths.growth))
        channels = 2 * growth
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        given = [channels]
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for number, layers in enumerate(depths.layers):
            self.blocks.append(nn.Sequential(*(DenseLayer(channels + i * growth, growth) for i in range(layers))))
            channels += layers * growth
            given.append(channels)
            last = number == len(depths.layers) - 1
            self.transitions.append(nn.BatchNorm2d(channels) if last else _transition(channels))
            channels //= 1 if last else 2
        # Skips are summed, so each stage gives what the encoder has at the size above it; the deepest alone does not
        # fit and passes a 1×1 convolution.
        self.line = nn.Conv2d(given[3], given[4], kernel_size=1)
        outputs = (given[2], given[1], given[0], *(max(1, round(width * full)) for full in depths.decoder[3:]))
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, kernel_size=3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
            )
            for before, after in zip((given[4], *outputs), outputs, strict=False)
        )
        self.dropout = nn.Dropout2d(0.3)
        self.head = nn.Conv2d(outputs[-1], classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of images (N, C, H, W); H and W are multiples of 32."""
        x = images.expand(-1, self.in_channels, -1, -1)
        x = self.stem(x)
        skips = [x]
        x = self.pool(x)
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            x = block(x)
            skips.append(x)
            x = transition(x)
        x = F.relu(x)
        below: list[Tensor | None] = [self.line(skips[3]), skips[2], skips[1], skips[0], None]
        for stage, skip in zip(self.stages, below, strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = stage(x if skip is None else x + skip)
        logits: Tensor = self.head(self.dropout(x))
        return logits


def _transition(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=False),
        nn.Conv2d(channels, channels // 2, kernel_size=1, bias=False),
        nn.AvgPool2d(2),
    )


ARCHITECTURES = (
    Architecture(
        "denseunet",
        lambda width, depths, _classes: DenseUNet(width, depths),
        depths={"densenet161": DENSENET161, "small": SMALL},
    ),
)
