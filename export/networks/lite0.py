"""EfficientNet-Lite0 as an encoder: five levels of features, each at half the resolution of the one before.

The network is EfficientNet-B0's (Tan and Le, 2019) without squeeze-and-excitation and with ReLU6, as Google published
it for integer arithmetic. Module names are those of the public PyTorch weights. Strided convolutions pad as TensorFlow
does ("same"): on even sides one pixel more below and to the right.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.colours import Colours

LITE0_COLOURS = Colours((127 / 255,) * 3, (128 / 255,) * 3)
"""(pixel − 127) / 128, what the public weights were trained with."""

LITE0_STRIDES = (2, 4, 8, 16, 32)
"""Image pixels per position of each level of features."""

_STEM = 32
_EPSILON, _MOMENTUM = 1e-3, 0.01


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_LEVELS = (0, 1, 2, 4, 6)
"""Stages after whose last block a level of features is taken."""


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its classifier.

    Args:
        width: multiplier on all channels; 1.0 is the published size, the only one with public weights.
        in_channels: of the images; the public weights know the first three.
        levels: of features; blocks beyond the last of them are left out. Four, down to 1/16, have a quarter of the
            weights.
    """

    def __init__(self, width: float = 1.0, in_channels: int = 3, levels: int = len(_LEVELS)) -> None:
        """Build the layers."""
        super().__init__()
        self._fixed: list[nn.Module] = []
        self.in_channels = in_channels
        stem = _scaled(_STEM, width)
        self._conv_stem = nn.Conv2d(in_channels, stem, kernel_size=3, stride=2, bias=False)
        self._bn0 = _norm(stem)
        blocks: list[_Block] = []
        ends: list[int] = []
        before = stem
        for stage in _STAGES[: _LEVELS[levels - 1] + 1]:
            channels = _scaled(stage.channels, width)
            for repeat in range(stage.repeats):
                stride = 1 if repeat else stage.stride
                blocks.append(_Block(before, channels, stage.kernel, stride, stage.expansion))
                before = channels
            ends.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        self._taken = tuple(ends[stage] for stage in _LEVELS[:levels])
        self.channels = tuple(_scaled(_STAGES[stage].channels, width) for stage in _LEVELS[:levels])

    def fix(self, levels: int) -> None:
        """Keep weights and statistics of the first `levels` as they are: no gradient goes there from now on."""
        self._fixed = [self._conv_stem, self._bn0, *self._blocks[: self._taken[levels - 1] + 1]] if levels else []
        for layer in self._fixed:
            layer.requires_grad_(requires_grad=False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers that are not fixed."""
        super().train(mode)
        for layer in self._fixed:
            layer.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the levels of features, (N, C, H / 2, W / 2) to (N, C, H / 32, W / 32), shallowest first.

        Args:
            images: (N, in_channels, H, W), RGB as `LITE0_COLOURS` makes it; H and W are multiples of the last stride.
        """
        features = F.relu6(self._bn0(self._conv_stem(_same(images, 3, 2))))
        levels = []
        for index, block in enumerate(self._blocks):
            features = block(features)
            if index in self._taken:
                levels.append(features)
        return tuple(levels)


class _Block(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(before, inner, kernel_size=1, bias=False)
            self._bn0 = _norm(inner)
        self.kernel, self.stride = kernel, stride
        # A convolution that pads by itself is one operation less; only on strided ones would the result differ.
        padding = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = _Depthwise(inner, inner, kernel, stride, padding, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, after, kernel_size=1, bias=False)
        self._bn2 = _norm(after)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        if self.stride > 1:
            inner = _same(inner, self.kernel, self.stride)
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        projected: Tensor = self._bn2(self._project_conv(inner))
        return projected + x if self.residual else projected


class _Depthwise(nn.Conv2d):
    """A depthwise convolution that learns in float32 on processors.

    Its gradients in bfloat16 have no kernel of their own there and take three to eight times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return what a convolution does."""
        if not (self.training and x.device.type == "cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


def widened(stem: Tensor, in_channels: int) -> Tensor:
    """Return the weights of a first convolution for more input channels, the new ones zero.

    Args:
        stem: (C, 3, k, k).
        in_channels: at least three.
    """
    added = torch.zeros(stem.shape[0], in_channels - stem.shape[1], *stem.shape[2:], dtype=stem.dtype)
    return torch.cat([stem, added], dim=1)


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return x padded with zeros as TensorFlow pads even sides for a strided convolution."""
    total = kernel - stride
    before, after = total // 2, total - total // 2
    return F.pad(x, (before, after, before, after))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(width * channels))
