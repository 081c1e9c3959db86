"""ResNet101V2 (He et al., 2016) as Keras has it, under the head of the paper on radiographs.

The last block of a stack halves the size, not the first, and its shortcut is every other pixel. The first convolution
is followed by neither normalisation nor ReLU, so that the zeros around it take part in the maximum of the first pool.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.keras_layers import FILM_DEPTHS, FilmNetwork, preactivated, repeated, scaled

STACKS = ((64, 3), (128, 4), (256, 23), (512, 3))
"""Inner channels and blocks of each stack, published."""

_EXPANSION = 4


class ResNet101V2(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], S at least 32; features of 224 are 7x7x2048."""

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        """Build the network; `depth` is the share of the published blocks."""
        backbone = _Backbone(width, depth)
        super().__init__(backbone, backbone.channels, width, dropout=0.2)


class _Block(nn.Module):
    """A bottleneck, normalised and rectified before its convolutions; the first of a stack projects its shortcut."""

    def __init__(self, before: int, inner: int, stride: int, projected: bool) -> None:
        super().__init__()
        after = _EXPANSION * inner
        self.preact_bn = preactivated(before)
        shortcut = nn.Conv2d(before, after, kernel_size=1) if projected else nn.MaxPool2d(1, stride)
        self.add_module("0_conv", shortcut)
        self.residue = nn.Sequential(
            OrderedDict[str, nn.Module](
                {
                    "1_conv": nn.Conv2d(before, inner, kernel_size=1, bias=False),
                    "1_bn": preactivated(inner),
                    "1_relu": nn.ReLU(),
                    "2_conv": nn.Conv2d(inner, inner, kernel_size=3, stride=stride, padding=1, bias=False),
                    "2_bn": preactivated(inner),
                    "2_relu": nn.ReLU(),
                    "3_conv": nn.Conv2d(inner, after, kernel_size=1),
                }
            )
        )
        self._projected = projected

    def forward(self, features: Tensor) -> Tensor:
        active = torch.relu(self.preact_bn(features))
        shortcut = self.get_submodule("0_conv")(active if self._projected else features)
        summed: Tensor = shortcut + self.residue(active)
        return summed


class _Backbone(nn.Module):
    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.channels = scaled(64, width)
        self.conv1_conv = nn.Conv2d(3, self.channels, kernel_size=7, stride=2, padding=3)
        self.stacks = nn.Sequential()
        for number, (inner, count) in enumerate(STACKS, start=2):
            blocks = repeated(count, depth)
            for index in range(1, blocks + 1):
                stride = 2 if index == blocks and number <= len(STACKS) else 1
                block = _Block(self.channels, scaled(inner, width), stride, projected=index == 1)
                self.stacks.add_module(f"conv{number}_block{index}", block)
                self.channels = _EXPANSION * scaled(inner, width)
        self.post_bn = preactivated(self.channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        return torch.relu(self.post_bn(self.stacks(_pooled(self.conv1_conv(images)))))


def _pooled(features: Tensor) -> Tensor:
    """Return the maximum of 3x3, stride 2, with a frame of zeros.

    ONNX Runtime (1.31) merges a pad into the pool that follows, whose own padding takes part in no maximum; so the
    zeros are put in afterwards, where a window reached them.
    """
    rows, columns = (_reaches_out(side, features.device) for side in features.shape[2:])
    inner = F.max_pool2d(features, kernel_size=3, stride=2, padding=1)
    return torch.where(rows[:, None] | columns, torch.relu(inner), inner)


def _reaches_out(side: int, device: torch.device) -> Tensor:
    """Return, per window along a side, whether it reaches over an end of it."""
    middle = torch.arange(0, side, 2, device=device)
    return (middle == 0) | (middle == side - 1)


ARCHITECTURES = (
    Architecture("resnet101v2", lambda width, depths, _: ResNet101V2(width, depths), FILM_DEPTHS, keras=True),
)
