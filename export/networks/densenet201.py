"""DenseNet201 (Huang et al., 2017) as Keras has it, under the head of the paper on radiographs."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.keras_layers import FILM_DEPTHS, FilmNetwork, preactivated, repeated, scaled

BLOCKS = (6, 12, 48, 32)
"""Layers of each dense block, published."""

GROWTH = 32
"""Channels that each layer adds, published."""


class DenseNet201(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], S at least 32; features of 224 are 7x7x1920."""

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        """Build the network; `width` scales the growth too, `depth` is the share of the published layers."""
        backbone = _Backbone(width, depth)
        super().__init__(backbone, backbone.channels, width, dropout=0.5)


class _Layer(nn.Module):
    """Adds channels to those it is given."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.added = nn.Sequential(
            OrderedDict[str, nn.Module](
                {
                    "0_bn": preactivated(before),
                    "0_relu": nn.ReLU(),
                    "1_conv": nn.Conv2d(before, 4 * growth, kernel_size=1, bias=False),
                    "1_bn": preactivated(4 * growth),
                    "1_relu": nn.ReLU(),
                    "2_conv": nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False),
                }
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.added(features)], dim=1)


class _Backbone(nn.Module):
    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.channels, growth = scaled(64, width), scaled(GROWTH, width)
        self.conv1_conv = nn.Conv2d(3, self.channels, kernel_size=7, stride=2, padding=3, bias=False)
        self.conv1_bn = preactivated(self.channels)
        # After ReLU the zeros of Keras' padding and torch's -inf have the same maximum.
        self.conv1_pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.blocks = nn.Sequential()
        for number, count in enumerate(BLOCKS, start=2):
            if number > 2:
                self._halve(f"pool{number - 1}")
            for index in range(1, repeated(count, depth) + 1):
                self.blocks.add_module(f"conv{number}_block{index}", _Layer(self.channels, growth))
                self.channels += growth
        self.bn = preactivated(self.channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        first = self.conv1_pool(torch.relu(self.conv1_bn(self.conv1_conv(images))))
        return torch.relu(self.bn(self.blocks(first)))

    def _halve(self, name: str) -> None:
        """Add a transition: half as many channels, half the size."""
        after = max(1, self.channels // 2)
        self.blocks.add_module(f"{name}_bn", preactivated(self.channels))
        self.blocks.add_module(f"{name}_relu", nn.ReLU())
        self.blocks.add_module(f"{name}_conv", nn.Conv2d(self.channels, after, kernel_size=1, bias=False))
        self.blocks.add_module(f"{name}_pool", nn.AvgPool2d(2))
        self.channels = after


ARCHITECTURES = (
    Architecture("densenet201", lambda width, depths, _: DenseNet201(width, depths), FILM_DEPTHS, keras=True),
)
