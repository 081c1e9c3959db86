"""An object from a box and clicks: EfficientNet-Lite0, and a U-Net decoder that meets the clicks at every scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

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

    Attributes:
        joined: channels of the maps that are joined before a convolution on the way up, the deepest level first.
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
        self.joined = ((fused, clicked[-1]), *zip(decoder, (eighth, quarter, half), clicked[-2::-1], strict=False))

    def decode(self, features: Features, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return one logit map, (N, 1, S / 2, S / 2); see `Divided.decode`."""
        *shallow, deepest = _pyramid(self.clicked, clicks)
        *skips, fused = features
        merged = self.merge(torch.cat([fused, deepest], dim=1))
        merged = merged + _doubled(self.context(merged))
        for block, skip, click in zip(self.decoder, reversed(skips), reversed(shallow), strict=True):
            merged = block(torch.cat([_doubled(merged), skip, click], dim=1))
        return (self.predict(merged),)

    def served(self) -> Divided:
        """Return the network with the convolutions of features alone in its backbone; see `Divided.served`."""
        return _Served(self)


class _Served(Divided):
    """A trained network whose convolutions over several maps are sums of one over each.

    Those of the features, which stay the same from click to click, are the backbone's. At 1/2 their answer has twice
    the channels of the features themselves: there these are kept, so that sessions take little more memory.
    """

    def __init__(self, network: ClickUNet) -> None:
        super().__init__()
        self.clicked, self.context, self.predict = network.clicked, network.context, network.predict
        layers = [network.merge, *(block.get_submodule("0") for block in network.decoder)]
        (fused, *levels) = (_split(*each) for each in zip(layers, network.joined, strict=True))
        rising, ahead, of_clicks = zip(*levels, strict=True)
        self.rising, self.of_clicks = nn.ModuleList(rising), nn.ModuleList([fused[1], *of_clicks])
        self.refined = nn.ModuleList(block.get_submodule("1") for block in network.decoder)
        *coarser, self.finest = ahead
        convolved: list[nn.Conv2d] = [*reversed(coarser), fused[0]]
        self.backbone = _Ahead(network.backbone, convolved)
        self.feature_channels = (network.feature_channels[0], *(layer.out_channels for layer in convolved))

    def decode(self, features: Features, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return one logit map; see `ClickUNet.decode`."""
        *shallow, deepest = _pyramid(self.clicked, clicks)
        half, *given, fused = features
        first, *of_clicks = self.of_clicks
        merged = F.relu(first(deepest) + fused)
        merged = merged + _doubled(self.context(merged))
        skips = [*reversed(given), self.finest(half)]
        levels = zip(self.rising, of_clicks, self.refined, skips, reversed(shallow), strict=True)
        for rise, of_click, refine, skip, click in levels:
            merged = refine(F.relu(rise(_doubled(merged)) + of_click(click) + skip))
        return (self.predict(merged),)


class _Ahead(nn.Module):
    """A backbone, and a convolution of each of its maps but the finest."""

    def __init__(self, backbone: nn.Module, convolutions: Sequence[nn.Module]) -> None:
        super().__init__()
        self.backbone, self.convolutions = backbone, nn.ModuleList(convolutions)

    def forward(self, crop: Tensor) -> Features:
        finest, *others = self.backbone(crop)
        return (finest, *(layer(each) for layer, each in zip(self.convolutions, others, strict=True)))


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


def _split(layer: nn.Module, channels: Sequence[int]) -> list[nn.Conv2d]:
    """Return a convolution of each run of `channels` of a layer's input; their sum is the layer's before it is cut off.

    The normalisation is folded into them, its shift into the first one.
    """
    convolution, norm = cast(tuple[nn.Conv2d, nn.BatchNorm2d], (layer.get_submodule("0"), layer.get_submodule("1")))
    whole = fuse_conv_bn_eval(convolution, norm).state_dict()
    parts: list[nn.Conv2d] = []
    for weight in whole["weight"].split(list(channels), dim=1):
        part = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=not parts)
        part.load_state_dict({"weight": weight} if parts else {"weight": weight, "bias": whole["bias"]})
        parts.append(part)
    return parts


def _pyramid(layers: nn.ModuleList, clicks: Tensor) -> list[Tensor]:
    """Return what the clicks' branch makes of its maps, 0 … 255, the finest first."""
    scales = [clicks / 255]
    for layer in layers:
        scales.append(layer(scales[-1]))
    return scales[1:]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(width * channels))


ARCHITECTURES = (Architecture("click_unet", lambda width, *_: ClickUNet(width), encoder="lite0"),)
