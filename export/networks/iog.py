"""Inside-Outside Guidance (Zhang et al., 2020): an object from two corners and a click inside, and its refinement.

Module names are the published checkpoints'. Every interpolation aligns corners, as theirs do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.divided import Divided, Features
from export.networks.pyramid import PyramidPooling, convolution
from export.networks.resnet import DEPTHS, RESNET101, Bottleneck, ResNet, stage_channels

MULTI_GRID = (2, 4, 8)
"""Dilations of the last stage's bottlenecks, which keep 1/16 of the resolution."""

_INNER, _CONTEXT = 128, 512
_BRANCH = (64, 128, 256, 256, 64)


class _Guided(nn.Module):
    """What both networks share: backbone, pyramid pooling, CoarseNet and FineNet."""

    def __init__(self, width: float, depths: Sequence[int], clicked_channels: int) -> None:
        """Build the layers; `clicked_channels` join the deepest features."""
        super().__init__()
        self.backbone: nn.Module = ResNet(
            5, depths, (1, 2, 2, 1), (1, 1, 1, MULTI_GRID), stride_first=False, width=width
        )
        c1, c2, c3, c4 = stage_channels(width)
        context, inner = _scaled(_CONTEXT, width), _scaled(_INNER, width)
        lateral = 2 * inner
        self.psp4 = PyramidPooling(c4 + clicked_channels, context, align_corners=True)
        self.Coarse_net = CoarseNet((context, c3, c2, c1), lateral)
        self.Fine_net = FineNet(inner)

    def encode(self, crop: Tensor) -> Features:
        """Return the four stages' features of (N, 5, S, S): RGB, inside clicks, outside clicks, all 0 … 255.

        Their sides are S / 4, S / 8, S / 16 and S / 16.
        """
        features: Features = self.backbone(crop)
        return features

    def _predict(self, features: Features, deepest: Tensor) -> tuple[Tensor, ...]:
        c1, c2, c3, _ = features
        merged, coarse = self.Coarse_net((self.psp4(deepest), c3, c2, c1))
        return (*coarse, self.Fine_net(merged))


class IOG(_Guided):
    """The network of two corners and a click inside.

    Args:
        width: multiplier on all channels; 1.0 is the paper's size.
        depths: bottlenecks per stage of the backbone.
    """

    def __init__(self, width: float = 1.0, depths: Sequence[int] = RESNET101) -> None:
        """Build the layers."""
        super().__init__(width, depths, clicked_channels=0)

    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
        """Return five logit maps (N, 1, S / 4, S / 4) of (N, 5, S, S).

        The first four are CoarseNet's, deepest first; the last is FineNet's, the answer.
        """
        features = self.encode(crop)
        return self._predict(features, features[-1])


class IOGRefine(_Guided, Divided):
    """IOG with a branch for the clicks made so far, so that a further click runs on the features of the first pass.

    Its weights are its own: the deepest features are wider than IOG's. Arguments as there.
    """

    def __init__(self, width: float = 1.0, depths: Sequence[int] = RESNET101) -> None:
        """Build the layers."""
        *strided, last = (_scaled(channels, width) for channels in _BRANCH)
        super().__init__(width, depths, clicked_channels=last)
        layers: list[nn.Module] = []
        channels = 2
        for wider in strided:
            down = nn.Conv2d(channels, wider, kernel_size=3, stride=2, padding=1, bias=False)
            layers += [down, nn.BatchNorm2d(wider), nn.ReLU(inplace=True)]
            channels = wider
        self.feature_channels = stage_channels(width)
        self.iog_points = nn.Sequential(*layers, *convolution(channels, last))

    def decode(self, features: Features, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return the five logit maps, (N, 1, S / 4, S / 4); see `Divided.decode`."""
        return self._predict(features, torch.cat([features[-1], self.iog_points(clicks)], dim=1))


class CoarseNet(nn.Module):
    """A feature pyramid from the deepest level to the shallowest, with a prediction at each."""

    def __init__(self, in_channels: Sequence[int], lateral: int) -> None:
        """Build the layers; `in_channels` are the levels', deepest first."""
        super().__init__()
        self.laterals = nn.ModuleList(nn.Sequential(*convolution(channels, lateral)) for channels in in_channels)
        # The two deepest levels have one size: the first of these is in the published weights and never runs.
        self.upsamples = nn.ModuleList(
            nn.Sequential(_Double(), *convolution(lateral, lateral)[:2]) for _ in in_channels[1:]
        )
        self.predict = nn.ModuleList(_SidePredictor(lateral) for _ in in_channels)

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the merged levels, deepest first, and the logits (N, 1, S / 4, S / 4) of each."""
        merged: list[Tensor] = []
        for index, (lateral, level) in enumerate(zip(self.laterals, levels, strict=True)):
            side = lateral(level)
            if index == 1:
                side = side + merged[-1]
            elif index > 1:
                side = side + self.upsamples[index - 1](merged[-1])
            merged.append(side)
        size = merged[-1].shape[-2:]
        logits = [predict(level, size) for predict, level in zip(self.predict, merged, strict=True)]
        return merged, logits


class FineNet(nn.Module):
    """Bottlenecks on each of CoarseNet's levels, fewer the finer it is, merged into one prediction."""

    def __init__(self, inner: int) -> None:
        """Build the layers; the levels have twice `inner` channels."""
        super().__init__()
        levels, lateral = 4, 2 * inner
        self.cascade = nn.ModuleList(
            nn.Sequential(*(_bottleneck(lateral, inner) for _ in range(levels - 1 - level))) for level in range(levels)
        )
        self.final_predict = nn.Sequential(
            _bottleneck(levels * lateral, inner),
            nn.Conv2d(lateral, 1, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(1),
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return the logits (N, 1, S / 4, S / 4) of CoarseNet's levels, deepest first."""
        size = levels[-1].shape[-2:]
        refined = [_resized(blocks(level), size) for blocks, level in zip(self.cascade, levels, strict=True)]
        logits: Tensor = self.final_predict(torch.cat(refined, dim=1))
        return logits


class _Double(nn.Module):
    """Bilinear interpolation to twice the size."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, 2H, 2W)."""
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class _SidePredictor(nn.ModuleList):
    """Logits of one level, on the finest level's grid. Batch normalisation of the single channel comes last."""

    def __init__(self, channels: int) -> None:
        # In the published weights the interpolation has a number too: the fourth, between convolution and norm.
        head = nn.Conv2d(channels, 1, kernel_size=3, padding=1, bias=False)
        super().__init__([*convolution(channels, channels), head, nn.Identity(), nn.BatchNorm2d(1)])

    def forward(self, level: Tensor, size: torch.Size) -> Tensor:
        """Return (N, 1, *size) of (N, C, H, W)."""
        *layers, norm = self
        for layer in layers:
            level = layer(level)
        logits: Tensor = norm(_resized(level, size))
        return logits


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def _bottleneck(in_channels: int, inner: int) -> Bottleneck:
    return Bottleneck(in_channels, inner, 2 * inner, projected=True)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(width * channels))


ARCHITECTURES = (
    Architecture("iog", lambda width, depths, _: IOG(width, depths), DEPTHS),
    Architecture("iog_refine", lambda width, depths, _: IOGRefine(width, depths), DEPTHS),
)
