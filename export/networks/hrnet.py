"""HRNetV2 (Wang et al., 2019): branches of four resolutions side by side, which keep exchanging what they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.resnet import BasicBlock, Bottleneck


class Layout(NamedTuple):
    """How large the network is.

    Attributes:
        channels: of the finest branch at full width; each coarser one has twice as many.
        stem: inner channels of the first stage's bottlenecks.
        bottlenecks: how many the first stage has.
        modules: exchanges of the stages of two, three and four branches.
        blocks: residual blocks of a branch between exchanges.
    """

    channels: int
    stem: int
    bottlenecks: int
    modules: tuple[int, int, int]
    blocks: int


_LARGE = (64, 4, (1, 4, 3), 4)
LAYOUTS = {
    "w48": Layout(48, *_LARGE),
    "w32": Layout(32, *_LARGE),
    "w18": Layout(18, *_LARGE),
    "w18-small": Layout(18, 32, 1, (1, 1, 1), 2),
}
_STEM = 64
_LAND_CLASSES = 5


class Exchange(nn.Module):
    """Every branch takes the sum of all: coarser ones enlarged, finer ones halved by convolutions."""

    def __init__(self, channels: Sequence[int], blocks: int) -> None:
        """Build the branches and the ways between them."""
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(own, own) for _ in range(blocks))) for own in channels)
        self.fusions = nn.ModuleList(Fusion(channels, target) for target in range(len(channels)))

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Return the branches after it, of the same shapes."""
        worked = [branch(x) for branch, x in zip(self.branches, branches, strict=True)]
        return [fusion(worked) for fusion in self.fusions]


class Fusion(nn.Module):
    """What one branch becomes of all."""

    def __init__(self, channels: Sequence[int], target: int) -> None:
        """Build the way from each branch to that of index `target`."""
        super().__init__()
        self.target = target
        self.ways = nn.ModuleList(_way(channels, source, target) for source in range(len(channels)))

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        """Return their sum at the target's size, after ReLU."""
        first, *others = (
            _enlarged(way(x), source - self.target)
            for source, (way, x) in enumerate(zip(self.ways, branches, strict=True))
        )
        return F.relu(sum(others, first))


class Widening(nn.Module):
    """Makes the branches of a stage of those before it: one more, and others where channels change."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        """Build the ways; `after` has one branch more than `before`."""
        super().__init__()
        self.ways = nn.ModuleList(
            nn.Identity() if old == new else nn.Sequential(*_convolution(old, new))
            for old, new in zip(before, after, strict=False)
        )
        self.ways.append(nn.Sequential(*_convolution(before[-1], after[-1], stride=2)))

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Return one branch more, made of the coarsest."""
        return [way(x) for way, x in zip(self.ways, [*branches, branches[-1]], strict=True)]


class HRNet(nn.Module):
    """W48 has 65,848,564 parameters with 3 channels in and 4 classes, W18 9,637,054; W32 with 7 classes 29,540,743."""

    def __init__(self, width: float, layout: Layout, in_channels: int = 3, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``; a one-channel picture is repeated."""
        super().__init__()
        self.in_channels = in_channels
        stem, planes = (max(1, round(width * full)) for full in (_STEM, layout.stem))
        own = max(1, round(width * layout.channels))
        self.stem = nn.Sequential(*_convolution(in_channels, stem, stride=2), *_convolution(stem, stem, stride=2))
        wide = 4 * planes
        self.first = nn.Sequential(
            *(
                Bottleneck(wide if index else stem, planes, wide, projected=index == 0 and stem != wide)
                for index in range(layout.bottlenecks)
            )
        )
        self.widenings, self.stages = nn.ModuleList(), nn.ModuleList()
        before: list[int] = [wide]
        for branches, modules in zip((2, 3, 4), layout.modules, strict=True):
            channels = [own << branch for branch in range(branches)]
            self.widenings.append(Widening(before, channels))
            self.stages.append(nn.Sequential(*(Exchange(channels, layout.blocks) for _ in range(modules))))
            before = channels
        total = sum(before)
        self.mixing = nn.Sequential(
            nn.Conv2d(total, total, kernel_size=1), nn.BatchNorm2d(total), nn.ReLU(inplace=True)
        )
        self.head = nn.Conv2d(total, classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of images (N, C, H, W); H and W are multiples of 32."""
        x = images.expand(-1, self.in_channels, -1, -1)
        branches = [self.first(self.stem(x))]
        for widening, stage in zip(self.widenings, self.stages, strict=True):
            branches = stage(widening(branches))
        joined = torch.cat([_enlarged(branch, doublings) for doublings, branch in enumerate(branches)], dim=1)
        return _enlarged(self.head(self.mixing(joined)), 2)


def _enlarged(x: Tensor, doublings: int) -> Tensor:
    """Return features at so many times twice their size; not enlarged where that is none or less."""
    if doublings <= 0:
        return x
    return F.interpolate(x, scale_factor=2.0**doublings, mode="bilinear", align_corners=False)


def _convolution(in_channels: int, out_channels: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (*_normed(in_channels, out_channels, 3, stride), nn.ReLU(inplace=True))


def _normed(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size=kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _way(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """Return what brings one branch to the channels, and from a finer one to the size, of another."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*_normed(channels[source], channels[target], 1))
    steps: list[nn.Module] = []
    for _ in range(target - source - 1):
        steps += _convolution(channels[source], channels[source], stride=2)
    return nn.Sequential(*steps, *_normed(channels[source], channels[target], 3, 2))


ARCHITECTURES = (
    Architecture("hrnet", lambda width, layout, _classes: HRNet(width, layout), depths=LAYOUTS, usual="w48"),
    Architecture(
        "land_hrnet",
        lambda width, layout, _classes: HRNet(width, layout, classes=_LAND_CLASSES),
        depths=LAYOUTS,
        usual="w32",
    ),
)
