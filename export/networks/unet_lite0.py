"""U-Net on EfficientNet-Lite0: lesions on CT slices, and what the Siamese one is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS, LITE0_STRIDES, Lite0

_FULL = 16
_DECODER = (128, 96, 64, 48, 32, 24)
"""Channels on the way up, at 1/32, 1/16, 1/8, 1/4, 1/2 and the full size."""


class Lite0UNet(nn.Module):
    """The public encoder, and a U-Net's way up from it.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
        levels: of the encoder, see `Lite0`.
        joined: how many features of each level meet on the way up: 2 where those of two images do.
        full: whether two convolutions of its own give the encoder a level at the full size, which it lacks; else
            logits are at half the size.
    """

    def __init__(
        self, width: float, classes: int, levels: int = len(LITE0_STRIDES), joined: int = 1, *, full: bool = True
    ) -> None:
        """Build the layers."""
        super().__init__()
        self.lite0 = Lite0(width, levels=levels)
        self.multiple = LITE0_STRIDES[levels - 1]
        channels = list(self.lite0.channels)
        self.full: nn.Module | None = None
        if full:
            channels.insert(0, own := _scaled(_FULL, width))
            self.full = nn.Sequential(_convolution(3, own), _convolution(own, own))
        deepest, *skips = reversed(channels)
        first, *rising = decoder = [_scaled(each, width) for each in _DECODER[-1 - levels :][: len(channels)]]
        self.deepest = _convolution(joined * deepest, first, kernel=1)
        self.decoder = nn.ModuleList(
            nn.Sequential(_convolution(below + joined * skip, own), _convolution(own, own))
            for below, skip, own in zip(decoder, skips, rising, strict=False)
        )
        self.head = nn.Conv2d(decoder[-1], classes, kernel_size=1)

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the features of images (N, 3, H, W), largest first; sides are padded with zeros to `multiple`."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        return [*([] if self.full is None else [self.full(padded)]), *self.lite0(padded)]

    def risen(self, levels: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Return logits (N, classes, height, width) of features as `levels` gives them, `joined` of each at a level."""
        *skips, deepest = levels
        merged = self.deepest(deepest)
        for block in self.decoder:
            merged = block(torch.cat([_doubled(merged), skips.pop()], dim=1))
        logits: Tensor = self.head(merged)
        return logits[..., :height, :width]


class SliceLite0(Lite0UNet):
    """Lesions on CT slices; the encoder is left before its last level.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
    """

    def __init__(self, width: float = 1.0, classes: int = 4) -> None:
        """Build the layers."""
        super().__init__(width, classes, levels=4, full=False)

    def forward(self, slices: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of slices (N, 1, H, W) in [0, 1], whose sides are even."""
        images = (slices - LITE0_COLOURS.mean[0]) / LITE0_COLOURS.std[0]
        height, width = slices.shape[-2:]
        # Weights of three colours take grey as three alike.
        logits = self.risen(self.levels(images.expand(-1, 3, -1, -1)), height // 2, width // 2)
        return _doubled(logits)


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


ARCHITECTURES = (Architecture("ct_lite0", lambda width, *_: SliceLite0(width), encoder="lite0"),)
