"""Inception-ResNet-v2 (Szegedy et al., 2017) as Keras has it, under the head of the paper on radiographs."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.keras_layers import (
    FILM_DEPTHS,
    Branches,
    ConvNorm,
    FilmNetwork,
    ShiftNorm,
    inception_stem,
    pooled,
    repeated,
    scaled,
)

BLOCKS = {"block35": 10, "block17": 20, "block8": 10}
"""Kind of residual block → how many there are of it, published."""

_SCALES = {"block35": 0.17, "block17": 0.1, "block8": 0.2}


class InceptionResNetV2(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], S at least 75; features of 224 are 5x5x1536."""

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        """Build the network; `depth` is the share of the published blocks."""
        backbone = _Backbone(width, depth)
        super().__init__(backbone, scaled(1536, width), width, dropout=0.2)


class _Residual(nn.Module):
    """x + scale · conv(branches(x)), with or without ReLU."""

    def __init__(self, branches: Branches, joined: int, channels: int, scale: float, rectified: bool) -> None:
        super().__init__()
        self.branches, self.scale, self.rectified = branches, scale, rectified
        self.conv = nn.Conv2d(joined, channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        summed = features + self.scale * self.conv(self.branches(features))
        return torch.relu(summed) if self.rectified else summed


class _Backbone(nn.Module):
    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self._width, self._depth = width, depth
        self.stem, self.channels = inception_stem(width)
        self.mixed_5b = self._mixed_5b()
        self.blocks_35 = self._blocks("block35")
        self.mixed_6a = self._mixed_6a()
        self.blocks_17 = self._blocks("block17")
        self.mixed_7a = self._mixed_7a()
        self.blocks_8 = self._blocks("block8")
        last = self._of(1536)
        self.conv_7b = nn.Conv2d(self.channels, last, kernel_size=1, bias=False)
        self.conv_7b_bn = ShiftNorm(last)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        features = self.blocks_35(self.mixed_5b(self.stem(images)))
        features = self.blocks_8(self.mixed_7a(self.blocks_17(self.mixed_6a(features))))
        return torch.relu(self.conv_7b_bn(self.conv_7b(features)))

    def _of(self, channels: int) -> int:
        return scaled(channels, self._width)

    def _mixed_5b(self) -> Branches:
        before, c48, c64, c96 = self.channels, self._of(48), self._of(64), self._of(96)
        self.channels = c96 + c64 + c96 + c64
        return Branches(
            ConvNorm(before, c96, 1),
            nn.Sequential(ConvNorm(before, c48, 1), ConvNorm(c48, c64, 5)),
            nn.Sequential(ConvNorm(before, c64, 1), ConvNorm(c64, c96, 3), ConvNorm(c96, c96, 3)),
            pooled(before, c64),
        )

    def _mixed_6a(self) -> Branches:
        before, c256, c384 = self.channels, self._of(256), self._of(384)
        self.channels = before + 2 * c384
        return Branches(
            ConvNorm(before, c384, 3, stride=2, same=False),
            nn.Sequential(
                ConvNorm(before, c256, 1), ConvNorm(c256, c256, 3), ConvNorm(c256, c384, 3, stride=2, same=False)
            ),
            nn.MaxPool2d(3, stride=2),
        )

    def _mixed_7a(self) -> Branches:
        before, c256, c288, c320, c384 = self.channels, *map(self._of, (256, 288, 320, 384))
        self.channels = before + c384 + c288 + c320
        return Branches(
            nn.Sequential(ConvNorm(before, c256, 1), ConvNorm(c256, c384, 3, stride=2, same=False)),
            nn.Sequential(ConvNorm(before, c256, 1), ConvNorm(c256, c288, 3, stride=2, same=False)),
            nn.Sequential(
                ConvNorm(before, c256, 1), ConvNorm(c256, c288, 3), ConvNorm(c288, c320, 3, stride=2, same=False)
            ),
            nn.MaxPool2d(3, stride=2),
        )

    def _blocks(self, kind: str) -> nn.Sequential:
        count = repeated(BLOCKS[kind], self._depth)
        blocks = [self._block(kind, last=kind == "block8" and index == count) for index in range(1, count + 1)]
        return nn.Sequential(OrderedDict((f"{kind}_{index}", block) for index, block in enumerate(blocks, 1)))

    def _block(self, kind: str, *, last: bool) -> _Residual:
        """Return a residual block; the very last of the network is neither scaled nor rectified."""
        branches, joined = {"block35": self._block35, "block17": self._block17, "block8": self._block8}[kind]()
        return _Residual(branches, joined, self.channels, 1.0 if last else _SCALES[kind], rectified=not last)

    def _block35(self) -> tuple[Branches, int]:
        before, c32, c48, c64 = self.channels, self._of(32), self._of(48), self._of(64)
        branches = Branches(
            ConvNorm(before, c32, 1),
            nn.Sequential(ConvNorm(before, c32, 1), ConvNorm(c32, c32, 3)),
            nn.Sequential(ConvNorm(before, c32, 1), ConvNorm(c32, c48, 3), ConvNorm(c48, c64, 3)),
        )
        return branches, 2 * c32 + c64

    def _block17(self) -> tuple[Branches, int]:
        before, c128, c160, c192 = self.channels, self._of(128), self._of(160), self._of(192)
        branches = Branches(
            ConvNorm(before, c192, 1),
            nn.Sequential(ConvNorm(before, c128, 1), ConvNorm(c128, c160, (1, 7)), ConvNorm(c160, c192, (7, 1))),
        )
        return branches, 2 * c192

    def _block8(self) -> tuple[Branches, int]:
        before, c192, c224, c256 = self.channels, self._of(192), self._of(224), self._of(256)
        branches = Branches(
            ConvNorm(before, c192, 1),
            nn.Sequential(ConvNorm(before, c192, 1), ConvNorm(c192, c224, (1, 3)), ConvNorm(c224, c256, (3, 1))),
        )
        return branches, c192 + c256


ARCHITECTURES = (
    Architecture(
        "inception_resnetv2", lambda width, depths, _: InceptionResNetV2(width, depths), FILM_DEPTHS, keras=True
    ),
)
