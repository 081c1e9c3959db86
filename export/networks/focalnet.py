"""FocalNet (Yang et al., 2022): each pixel is modulated by what convolutions of growing kernels gather around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.fanet_blocks import StochasticDepth
from export.networks.uperhead import UPerNet

KERNELS = (9, 11, 13)
"""Sides of the focal convolutions, one after the other, of networks that label pixels; classifiers have 3, 5 and 7."""

_EXPANSION = 4


class Layout(NamedTuple):
    """How large the network is.

    Attributes:
        channels: of the first stage at full width; each later one has twice as many.
        depths: blocks per stage.
        head: channels of UPerHead at full width.
        drop: stochastic depth of the last block; that of the others grows evenly up to it.
    """

    channels: int
    depths: tuple[int, ...]
    head: int = 512
    drop: float = 0.3


LAYOUTS = {
    "focalnet_t": Layout(96, (2, 2, 6, 2)),
    "focalnet_b": Layout(128, (2, 2, 18, 2)),
    "focalnet_small": Layout(96, (2, 2, 4, 2), head=256, drop=0.1),
}


class FocalModulation(nn.Module):
    """What is around a pixel, gathered level by level and weighed by gates, times a query of the pixel."""

    def __init__(self, channels: int, kernels: Sequence[int]) -> None:
        """Build the layers."""
        super().__init__()
        self.channels, self.levels = channels, len(kernels)
        self.f = nn.Linear(channels, 2 * channels + self.levels + 1)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False), nn.GELU()
            )
            for kernel in kernels
        )
        self.h = nn.Conv2d(channels, channels, kernel_size=1)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, H, W, C) of the same."""
        query, context, gates = torch.split(
            self.f(x).permute(0, 3, 1, 2), [self.channels, self.channels, self.levels + 1], dim=1
        )
        gathered = torch.zeros_like(context)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            gathered = gathered + context * gates[:, level : level + 1]
        everywhere = F.gelu(context.mean(dim=(2, 3), keepdim=True))
        gathered = gathered + everywhere * gates[:, self.levels :]
        modulated: Tensor = self.proj((query * self.h(gathered)).permute(0, 2, 3, 1))
        return modulated


class Block(nn.Module):
    """Modulation, then a perceptron of each pixel, each normalised before and added to what came in."""

    def __init__(self, channels: int, kernels: Sequence[int], drop: float) -> None:
        """Build the layers; `drop` is the chance that a sample skips a half of the block in training."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.modulation = FocalModulation(channels, kernels)
        wide = _EXPANSION * channels
        self.mlp = nn.Sequential(nn.Linear(channels, wide), nn.GELU(), nn.Linear(wide, channels))
        self.drop = StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, H, W, C) of the same."""
        x = x + self.drop(self.modulation(self.norm1(x)))
        kept: Tensor = x + self.drop(self.mlp(self.norm2(x)))
        return kept


class Patches(nn.Module):
    """A convolution whose windows do not overlap, normalised; (N, C, H, W) → (N, H / size, W / size, channels)."""

    def __init__(self, in_channels: int, channels: int, size: int) -> None:
        """Build the layers."""
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel_size=size, stride=size)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the patches, channels last."""
        patches: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return patches


class FocalNet(nn.Module):
    """The backbone; its four outputs are normalised, which for classifiers the last alone is."""

    def __init__(self, width: float, layout: Layout, kernels: Sequence[int] = KERNELS) -> None:
        """Build the layers with every width scaled by ``width``."""
        super().__init__()
        first = max(1, round(width * layout.channels))
        self.dims = tuple(first << stage for stage in range(len(layout.depths)))
        self.patches, self.stages, self.norms = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        drops = iter(torch.linspace(0, layout.drop, sum(layout.depths), device="cpu").tolist())
        before = 3
        for stage, (channels, depth) in enumerate(zip(self.dims, layout.depths, strict=True)):
            self.patches.append(Patches(before, channels, 2 if stage else 4))
            self.stages.append(nn.Sequential(*(Block(channels, kernels, next(drops)) for _ in range(depth))))
            self.norms.append(nn.LayerNorm(channels))
            before = channels

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the four stages' features, strides 4 to 32, of normalised images (N, 3, H, W), multiples of 32."""
        features = []
        x = images
        for patches, stage, norm in zip(self.patches, self.stages, self.norms, strict=True):
            x = stage(patches(x))
            features.append(norm(x).permute(0, 3, 1, 2))
            x = x.permute(0, 3, 1, 2)
        return tuple(features)


class FocalNetUPer(UPerNet):
    """FocalNet with UPerHead: 60,575,061 parameters that are served as FocalNet-T with 5 classes, 124,433,381 as B."""

    def __init__(self, width: float, layout: Layout, classes: int) -> None:
        """Build the layers."""
        backbone = FocalNet(width, layout)
        super().__init__(backbone, backbone.dims, max(8, round(width * layout.head)), classes)


ARCHITECTURES = (
    Architecture(
        "focalnet",
        lambda width, layout, classes: FocalNetUPer(width, layout, classes),
        depths=LAYOUTS,
        label_bias="decode_head.conv_seg.bias",
    ),
)
