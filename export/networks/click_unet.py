"""An object from a box and clicks: EfficientNet-Lite0, and a U-Net decoder that meets the clicks at every scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.divided import Divided, Features
from export.networks.lite0 import Lite0

_FUSED = 128
_CLICKED = (8, 16, 24, 32)
"""Channels of the clicks' branch, at 1/2, 1/4, 1/8 and 1/16 of the crop."""
_DECODER = (96, 64, 48, 32)
"""Channels on the way up, at 1/16, 1/8, 1/4 and 1/2."""


class ClickUNet(Divided):
    """A network of clicks on a public encoder.

    The backbone sees the crop and the first clicks. The head turns all clicks so far into features at four scales and
    joins them to the backbone's on the way up, so that a click acts on its surroundings at each of them.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers."""
        super().__init__()
        backbone = _Backbone(width)
        self.backbone, self.feature_channels = backbone, backbone.channels
        half, quarter, eighth, fused = backbone.channels
        clicked = [_scaled(channels, width) for channels in _CLICKED]
        deep, *rising = decoder = [_scaled(channels, width) for channels in _DECODER]
        self.clicked = nn.ModuleList(
            _convolution(before, after, stride=2) for before, after in zip([2, *clicked], clicked, strict=False)
        )
        self.merge = _convolution(fused + clicked[-1], deep)
        self.context = nn.Sequential(nn.AvgPool2d(2), _convolution(deep, deep), _convolution(deep, deep, dilation=2))
        self.decoder = nn.ModuleList(
            nn.Sequential(_convolution(below + skip + click, own), _convolution(own, own))
            for below, skip, click, own in zip(decoder, (eighth, quarter, half), clicked[-2::-1], rising, strict=False)
        )
        self.predict = nn.Conv2d(decoder[-1], 1, kernel_size=1)

    def decode(self, features: Features, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return one logit map, (N, 1, S / 2, S / 2); see `Divided.decode`."""
        scales = [clicks / 255]
        for layer in self.clicked:
            scales.append(layer(scales[-1]))
        *skips, fused = features
        merged = self.merge(torch.cat([fused, scales[-1]], dim=1))
        merged = merged + _doubled(self.context(merged))
        for block, skip, click in zip(self.decoder, reversed(skips), scales[-2:0:-1], strict=True):
            merged = block(torch.cat([_doubled(merged), skip, click], dim=1))
        return (self.predict(merged),)


class _Backbone(nn.Module):
    """The encoder, its two deepest levels merged: no click needs to change how that is done."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.lite0 = Lite0(width, in_channels=5)
        *shallow, sixteenth, deepest = self.lite0.channels
        fused = _scaled(_FUSED, width)
        self.fuse = _convolution(sixteenth + deepest, fused)
        self.channels = (*shallow, fused)

    def forward(self, crop: Tensor) -> Features:
        """Return four levels of features, at 1/2, 1/4, 1/8 and 1/16 of (N, 5, S, S); S is a multiple of 32."""
        pixels, clicks = crop.split([3, 2], dim=1)
        # Each in the range that the encoder's weights expect of an image.
        *shallow, sixteenth, deepest = self.lite0(torch.cat([(pixels - 127) / 128, clicks / 255], dim=1))
        return (*shallow, self.fuse(torch.cat([sixteenth, _doubled(deepest)], dim=1)))


def _convolution(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(width * channels))


ARCHITECTURES = (Architecture("click_unet", lambda width, *_: ClickUNet(width), encoder="lite0"),)
