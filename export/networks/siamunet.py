"""Siamese U-Net: damage from an image before and one after the disaster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.unet import double_convolution, scaled_widths


class SiameseUNet(nn.Module):
    """A U-Net whose encoder runs on both images and whose decoder consumes |post - pre| at all five levels.

    The pattern is FC-Siam-diff (Daudt et al., 2018) with U-Net's widths (Ronneberger et al., 2015).
    """

    def __init__(self, width: float = 1.0, classes: int = 5, channels: int = 3) -> None:
        """Build the layers for images of so many channels, with every hidden width scaled by ``width``."""
        super().__init__()
        widths = scaled_widths(width)
        self.encoder = nn.ModuleList(
            double_convolution(before, after) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        shallower = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, kernel_size=2, stride=2) for deep, shallow in shallower
        )
        self.decoder = nn.ModuleList(double_convolution(2 * shallow, shallow) for _, shallow in shallower)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, channels, H, W); H and W are multiples of 16."""
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


ARCHITECTURES = (Architecture("siamunet", lambda width, *_: SiameseUNet(width), inputs=("pre", "post")),)
