"""Siamese U-Net on EfficientNet-Lite0: damage from an image before and one after the disaster."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS, Lite0

_FULL = 16
_DECODER = (128, 96, 64, 48, 32, 24)
"""Channels on the way up, at 1/32, 1/16, 1/8, 1/4, 1/2 and the full size."""


class SiameseLite0(nn.Module):
    """A U-Net whose public encoder runs on both images.

    As in `SiameseUNet` the decoder consumes |post − pre| at every level. Beside it the decoder is given the features of
    the image before the disaster: where nothing has changed, a difference of good features has nothing to find a
    building by. Two convolutions of its own give the encoder a level at the full size, which it lacks.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
    """

    def __init__(self, width: float = 1.0, classes: int = 5) -> None:
        """Build the layers."""
        super().__init__()
        self.lite0 = Lite0(width)
        full = _scaled(_FULL, width)
        self.full = nn.Sequential(_convolution(3, full), _convolution(full, full))
        deepest, *skips = reversed((full, *self.lite0.channels))
        first, *rising = decoder = [_scaled(channels, width) for channels in _DECODER]
        self.deepest = _convolution(2 * deepest, first, kernel=1)
        self.decoder = nn.ModuleList(
            nn.Sequential(_convolution(below + 2 * skip, own), _convolution(own, own))
            for below, skip, own in zip(decoder, skips, rising, strict=False)
        )
        self.head = nn.Conv2d(decoder[-1], classes, kernel_size=1)

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W), whose sides may be any.

        The encoder halves five times: sides are padded with zeros to multiples of 32, and the logits cut.
        """
        height, width = pre.shape[-2:]
        # One batch of both roles halves the number of kernels and gives batch normalisation one set of statistics.
        images = F.pad(torch.cat([pre, post]), (0, -width % 32, 0, -height % 32))
        levels = [_with_difference(features) for features in (self.full(images), *self.lite0(images))]
        merged = self.deepest(levels.pop())
        for block in self.decoder:
            merged = block(torch.cat([_doubled(merged), levels.pop()], dim=1))
        logits: Tensor = self.head(merged)
        return logits[..., :height, :width]


def _with_difference(features: Tensor) -> Tensor:
    """Return (N, 2C, H, W), features before and |after − before|, of both roles' in one batch, (2N, C, H, W)."""
    before, after = features.unflatten(0, (2, -1)).unbind()
    return torch.cat([before, (after - before).abs()], dim=1)


def _convolution(before: int, after: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(width * channels))


ARCHITECTURES = (
    Architecture(
        "siamese_lite0",
        lambda width, *_: SiameseLite0(width),
        inputs=("pre", "post"),
        colours=LITE0_COLOURS,
        encoder="lite0",
    ),
)
