"""U-Net (Ronneberger et al., 2015), padded and batch-normalised: the plain baseline, and what CogSeg is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture

WIDTHS = (64, 128, 256, 512, 1024)
"""Channels of the five encoder levels at full width."""


def scaled_widths(width: float) -> list[int]:
    """Return the channels of the five levels at a width."""
    return [max(1, round(width * channels)) for channels in WIDTHS]


def double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return two 3x3 convolutions that keep the size, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class Encoder(nn.Module):
    """Five levels, pooled by 2 between them."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        """Build the levels."""
        super().__init__()
        self.levels = nn.ModuleList(
            double_convolution(before, after) for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the features of all levels, full size first; sides of (N, C, H, W) are multiples of 16."""
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(self.pool(features[-1]) if features else images))
        return tuple(features)


class Decoder(nn.Module):
    """Four stages, each of which doubles the size and takes in the encoder's features of that size."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Build the stages."""
        super().__init__()
        shallower = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, kernel_size=2, stride=2) for deep, shallow in shallower
        )
        self.blocks = nn.ModuleList(double_convolution(2 * shallow, shallow) for _, shallow in shallower)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return what each stage gives, deepest first; the last has the size of the images."""
        *skipped, merged = features
        stages = []
        for upsample, block in zip(self.upsample, self.blocks, strict=True):
            merged = block(torch.cat([skipped.pop(), upsample(merged)], dim=1))
            stages.append(merged)
        return tuple(stages)


class UNet(nn.Module):
    """The baseline for CT: labels on the grid of the slice that it is given."""

    def __init__(self, width: float = 1.0, in_channels: int = 1, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__()
        widths = scaled_widths(width)
        self.encoder = Encoder(in_channels, widths)
        self.decoder = Decoder(widths)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, slices: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of slices (N, 1, H, W) in [0, 1]; H and W are multiples of 16."""
        logits: Tensor = self.head(self.decoder(self.encoder(slices))[-1])
        return logits


ARCHITECTURES = (Architecture("ct_unet", lambda width, *_: UNet(width)),)
