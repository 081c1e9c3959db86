"""Siamese U-Net: damage from an image before and one after the disaster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 1024)
"""Channels of the five encoder levels at full width."""


class SiameseUNet(nn.Module):
    """A U-Net whose encoder runs on both images and whose decoder consumes |post - pre| at all five levels.

    The pattern is FC-Siam-diff (Daudt et al., 2018) with U-Net's widths (Ronneberger et al., 2015).
    """

    def __init__(self, width: float = 1.0, classes: int = 5) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__()
        widths = [max(1, round(width * channels)) for channels in WIDTHS]
        self.encoder = nn.ModuleList(
            _double_convolution(before, after) for before, after in zip([3, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        shallower = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, kernel_size=2, stride=2) for deep, shallow in shallower
        )
        self.decoder = nn.ModuleList(_double_convolution(2 * shallow, shallow) for _, shallow in shallower)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W); H and W are multiples of 16."""
        # One batch of both roles halves the number of kernels and gives batch normalisation one set of statistics.
        features = torch.cat([pre, post])
        differences = []
        for level, block in enumerate(self.encoder):
            features = block(self.pool(features) if level else features)
            before, after = features.unflatten(0, (2, -1)).unbind()
            differences.append((after - before).abs())
        merged = differences.pop()
        for upsample, block in zip(self.upsample, self.decoder, strict=True):
            merged = block(torch.cat([differences.pop(), upsample(merged)], dim=1))
        logits: Tensor = self.head(merged)
        return logits


def _double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
