"""U-Net on EfficientNet-Lite0: lesions on CT slices, and what the Siamese one is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS, LITE0_STRIDES, Lite0

_LEVELS = 4
"""Of the encoder: the last of its five holds most of its weights."""

_DECODER = (96, 64, 48, 32)
"""Channels on the way up, at 1/16, 1/8, 1/4 and 1/2 of the size."""


class Lite0UNet(nn.Module):
    """The public encoder, and a U-Net's way up from it to half the size: the encoder has no level above.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        outputs: channels of what comes out.
        joined: how many features of each level meet on the way up: 2 where those of two images do.
    """

    def __init__(self, width: float, outputs: int, joined: int = 1) -> None:
        """Build the layers."""
        super().__init__()
        self.lite0 = Lite0(width, levels=_LEVELS)
        self.multiple = LITE0_STRIDES[_LEVELS - 1]
        deepest, *skips = reversed(self.lite0.channels)
        first, *rising = decoder = [_scaled(each, width) for each in _DECODER]
        self.deepest = _convolution(joined * deepest, first, kernel=1)
        self.decoder = nn.ModuleList(
            nn.Sequential(_convolution(below + joined * skip, own), _convolution(own, own))
            for below, skip, own in zip(decoder, skips, rising, strict=False)
        )
        self.head = nn.Conv2d(decoder[-1], outputs, kernel_size=1)

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the features of images (N, 3, H, W), largest first; sides are padded with zeros to `multiple`."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        return list(self.lite0(padded))

    def risen(self, levels: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Return what comes out, (N, outputs, height, width).

        Args:
            levels: features as the method of that name gives them, `joined` of each at a level.
            height: at most that of the first level.
            width: likewise.
        """
        *skips, deepest = levels
        merged = self.deepest(deepest)
        for block in self.decoder:
            merged = block(torch.cat([_doubled(merged), skips.pop()], dim=1))
        risen: Tensor = self.head(merged)
        return risen[..., :height, :width]


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
