"""U-Net on EfficientNet-Lite0: lesions on CT slices, and what the Siamese one is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS, LITE0_STRIDES, Lite0

_FINER = 2
"""Pixels along each side of a position at half the size."""

_LEVELS = 4
"""Of the encoder: the last of its five holds most of its weights."""

_DECODER = (96, 64, 48, 32)
"""Channels on the way up, at 1/16, 1/8, 1/4 and 1/2 of the size."""


class Lite0UNet(nn.Module):
    """The public encoder, and a U-Net's way up from it to half the size: the encoder has no level above.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
        met: returns how many channels of a level meet on the way up, of those that the encoder has there.
        finer: whether each position at half the size holds the logits of four pixels: edges are then learnt as fine as
            the images are, at a fraction of what a level at the full size costs.
    """

    def __init__(self, width: float, classes: int, met: Callable[[int], int] = int, *, finer: bool = False) -> None:
        """Build the layers."""
        super().__init__()
        self.lite0 = Lite0(width, levels=_LEVELS)
        self.multiple = LITE0_STRIDES[_LEVELS - 1]
        deepest, *skips = map(met, reversed(self.lite0.channels))
        first, *rising = decoder = [_scaled(each, width) for each in _DECODER]
        self.deepest = _convolution(deepest, first, kernel=1)
        self.decoder = nn.ModuleList(
            nn.Sequential(_convolution(below + skip, own), _convolution(own, own))
            for below, skip, own in zip(decoder, skips, rising, strict=False)
        )
        self.head = nn.Conv2d(decoder[-1], classes * (_FINER**2 if finer else 1), kernel_size=1)
        self.finer = finer

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the features of images (N, 3, H, W), largest first; sides are padded with zeros to `multiple`."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        return list(self.lite0(padded))

    def risen(self, levels: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Return logits (N, classes, height, width).

        Args:
            levels: features, largest first, of as many channels as meet there.
            height: of the images where logits are `finer`, else half of it at most.
            width: likewise.
        """
        *skips, deepest = levels
        merged = self.deepest(deepest)
        for block in self.decoder:
            merged = block(torch.cat([_doubled(merged), skips.pop()], dim=1))
        logits: Tensor = self.head(merged)
        return (F.pixel_shuffle(logits, _FINER) if self.finer else logits)[..., :height, :width]


class SliceLite0(Lite0UNet):
    """Lesions on CT slices; the encoder is left before its last level.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
    """

    def __init__(self, width: float = 1.0, classes: int = 4) -> None:
        """Build the layers."""
        super().__init__(width, classes)

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
