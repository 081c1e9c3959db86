"""YOLOX: boxes of buildings with a class of damage in one pass, from the images before and after a disaster."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.colours import Colours

GRADES = 4
"""No damage, minor, major, destroyed."""

STRIDES = (8, 16, 32)
"""Pixels per cell of the three levels."""

_CHANNELS, _HEAD = (32, 64, 128, 256, 512), 128
"""Of stem and stages, and of the heads, at the width of YOLOX-s."""

_Spatial = Callable[..., nn.Sequential]
_BLOCKS = (1, 3, 3, 1)
_PRIOR = 0.01
_AS_THEY_ARE = Colours(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))


class YOLOX(nn.Module):
    """The anchor-free detector of Ge et al. (2021) with decoupled heads, on both images joined along their channels.

    Pixels are 0 to 255 as they come. With plain convolutions it is YOLOX-s at full width, 8,942,299 parameters, and
    YOLOX-tiny at 0.75; with depthwise ones it is YOLOX-nano at 0.5.

    Args:
        width: multiplier on the channels of YOLOX-s.
        depthwise: whether 3×3 convolutions see each channel alone, and 1×1 ones join them, as in YOLOX-nano.
    """

    def __init__(self, width: float = 1.0, *, depthwise: bool = False) -> None:
        """Build the layers."""
        super().__init__()
        stem, *stages = (max(2, int(width * channels)) for channels in _CHANNELS)
        spatial = _depthwise if depthwise else _convolution
        self.stem = _convolution(4 * 6, stem)
        self.stages = nn.ModuleList()
        for before, after, blocks in zip([stem, *stages], stages, _BLOCKS, strict=False):
            last = after == stages[-1]
            self.stages.append(
                nn.Sequential(
                    spatial(before, after, stride=2),
                    *([_Pyramid(after)] if last else []),
                    _Split(after, after, blocks, spatial, shortcut=not last),
                )
            )
        _, fine, middle, coarse = stages
        self.lateral, self.reduce = _convolution(coarse, middle, 1), _convolution(middle, fine, 1)
        self.down = nn.ModuleList((spatial(fine, fine, stride=2), spatial(middle, middle, stride=2)))
        self.rising = nn.ModuleList(
            (_Split(2 * middle, middle, 1, spatial, shortcut=False), _Split(2 * fine, fine, 1, spatial, shortcut=False))
        )
        self.falling = nn.ModuleList(
            (
                _Split(2 * fine, middle, 1, spatial, shortcut=False),
                _Split(2 * middle, coarse, 1, spatial, shortcut=False),
            )
        )
        head = max(2, int(width * _HEAD))
        self.heads = nn.ModuleList(_Head(channels, head, spatial) for channels in (fine, middle, coarse))
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 1e-3

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return what each cell says, (N, A, 5 + GRADES), of images (N, 3, H, W) whose sides are multiples of 32.

        The A cells are those of the three levels, row by row, the finest first. The values are x and y of the middle,
        width and height of the box, in pixels, and the logits of "a building" and of each grade.
        """
        images = torch.cat([pre, post], dim=1)
        # Space to depth: the four pixels of each square, column by column.
        features = self.stem(torch.cat([images[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=1))
        levels = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        _, fine, middle, coarse = levels
        from_coarse = self.lateral(coarse)
        joined = self.rising[0](torch.cat([_doubled(from_coarse), middle], dim=1))
        from_middle = self.reduce(joined)
        first = self.rising[1](torch.cat([_doubled(from_middle), fine], dim=1))
        second = self.falling[0](torch.cat([self.down[0](first), from_middle], dim=1))
        third = self.falling[1](torch.cat([self.down[1](second), from_coarse], dim=1))
        answers = (
            _decoded(head(features), stride)
            for head, features, stride in zip(self.heads, (first, second, third), STRIDES, strict=True)
        )
        return torch.cat(list(answers), dim=1)


def cells(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the middles (A, 2) of the cells of an image, x and y in pixels, and the stride (A) of each."""
    middles, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        corners = _corners(rows, columns)
        middles.append((corners + 0.5) * stride)
        strides.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(middles), torch.cat(strides)


def _corners(rows: int, columns: int) -> Tensor:
    """Return x and y of every cell of a level, counted in cells, (rows · columns, 2)."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float()


def _decoded(answer: Tensor, stride: int) -> Tensor:
    """Return the answer of a level, (N, 5 + GRADES, rows, columns), as that of cells, its boxes in pixels."""
    corners = _corners(*answer.shape[-2:]).to(answer.device)
    flat = answer.flatten(2).transpose(1, 2).float()
    # A few hundred cells are wider than any image: beyond that nothing is learnt, and no box is infinite.
    middle, size = (flat[..., :2] + corners) * stride, flat[..., 2:4].clamp(max=6.0).exp() * stride
    return torch.cat([middle, size, flat[..., 4:]], dim=-1)


class _Head(nn.Module):
    """What is said of each cell of a level: its grade apart from its box and whether there is a building."""

    def __init__(self, channels: int, inner: int, spatial: _Spatial) -> None:
        super().__init__()
        self.stem = _convolution(channels, inner, 1)
        self.grading = nn.Sequential(spatial(inner, inner), spatial(inner, inner))
        self.finding = nn.Sequential(spatial(inner, inner), spatial(inner, inner))
        self.grades = nn.Conv2d(inner, GRADES, kernel_size=1)
        self.box = nn.Conv2d(inner, 4, kernel_size=1)
        self.building = nn.Conv2d(inner, 1, kernel_size=1)
        for last in (self.grades, self.building):
            # Few cells have a building: at first none is to be sure of one.
            nn.init.constant_(last.bias, -math.log((1 - _PRIOR) / _PRIOR))  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        stem = self.stem(features)
        found = self.finding(stem)
        return torch.cat([self.box(found), self.building(found), self.grades(self.grading(stem))], dim=1)


class _Split(nn.Module):
    """Cross-stage partial: half of the channels go through bottlenecks, half past them."""

    def __init__(self, before: int, after: int, blocks: int, spatial: _Spatial, *, shortcut: bool) -> None:
        super().__init__()
        half = after // 2
        self.through, self.past = _convolution(before, half, 1), _convolution(before, half, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(_convolution(half, half, 1), spatial(half, half)) for _ in range(blocks)
        )
        self.joined = _convolution(2 * half, after, 1)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        inner = self.through(x)
        for block in self.blocks:
            inner = block(inner) + inner if self.shortcut else block(inner)
        joined: Tensor = self.joined(torch.cat([inner, self.past(x)], dim=1))
        return joined


class _Pyramid(nn.Module):
    """Spatial pyramid pooling: what is the most within 5, 9 and 13 cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.before, self.after = _convolution(channels, half, 1), _convolution(4 * half, channels, 1)
        self.pools = nn.ModuleList(nn.MaxPool2d(side, stride=1, padding=side // 2) for side in (5, 9, 13))

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        pooled: Tensor = self.after(torch.cat([x, *(pool(x) for pool in self.pools)], dim=1))
        return pooled


def _convolution(before: int, after: int, side: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, side, stride, padding=side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.SiLU(inplace=True),
    )


def _depthwise(before: int, after: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_convolution(before, before, side, stride, groups=before), _convolution(before, after, 1))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


ARCHITECTURES = (
    Architecture(
        "yolox",
        lambda width, depthwise, _: YOLOX(width, depthwise=depthwise),
        {"plain": False, "depthwise": True},
        inputs=("pre", "post"),
        colours=_AS_THEY_ARE,
    ),
)
