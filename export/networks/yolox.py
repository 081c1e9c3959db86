"""YOLOX: boxes of buildings with a class of damage in one pass, from the images before and after a disaster."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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

Spatial = Callable[..., nn.Sequential]
"""Builds a convolution of so many channels before and after, its side and stride."""

_EPSILON = 1e-3
_BLOCKS = (1, 3, 3, 1)
_PRIOR = 0.01
AS_THEY_ARE = Colours(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))


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
        spatial = _depthwise if depthwise else convolution
        self.stem = convolution(4 * 6, stem)
        self.stages = nn.ModuleList()
        for before, after, blocks in zip([stem, *stages], stages, _BLOCKS, strict=False):
            last = after == stages[-1]
            self.stages.append(
                nn.Sequential(
                    spatial(before, after, stride=2),
                    *([Pooled(after)] if last else []),
                    Split(after, after, blocks, spatial, shortcut=not last),
                )
            )
        self.pyramid = Pyramid(stages[1:], max(2, int(width * _HEAD)), spatial)

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
        answers: Tensor = self.pyramid(*levels[1:])
        return answers


class Pyramid(nn.Module):
    """What YOLOX makes of features at three strides: paths down and up between them, and a head on each.

    Args:
        channels: of the features, the finest first.
        head: channels within a head.
        spatial: builds the convolutions of more than one pixel.
    """

    def __init__(self, channels: Sequence[int], head: int, spatial: Spatial) -> None:
        """Build the layers."""
        super().__init__()
        fine, middle, coarse = channels
        self.lateral, self.reduce = convolution(coarse, middle, 1), convolution(middle, fine, 1)
        self.down = nn.ModuleList((spatial(fine, fine, stride=2), spatial(middle, middle, stride=2)))
        self.rising = nn.ModuleList(
            (Split(2 * middle, middle, 1, spatial, shortcut=False), Split(2 * fine, fine, 1, spatial, shortcut=False))
        )
        self.falling = nn.ModuleList(
            (Split(2 * fine, middle, 1, spatial, shortcut=False), Split(2 * middle, coarse, 1, spatial, shortcut=False))
        )
        self.heads = nn.ModuleList(_Head(each, head, spatial) for each in channels)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Return what each cell says, (N, A, 5 + GRADES), of features at `STRIDES`; see `YOLOX.forward`."""
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

    def __init__(self, channels: int, inner: int, spatial: Spatial) -> None:
        super().__init__()
        self.stem = convolution(channels, inner, 1)
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


class Split(nn.Module):
    """Cross-stage partial: half of the channels go through so many bottlenecks, half past them."""

    def __init__(self, before: int, after: int, blocks: int, spatial: Spatial, *, shortcut: bool) -> None:
        """Build the layers; with `shortcut` each bottleneck adds to what it is given."""
        super().__init__()
        half = after // 2
        self.through, self.past = convolution(before, half, 1), convolution(before, half, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(convolution(half, half, 1), spatial(half, half)) for _ in range(blocks)
        )
        self.joined = convolution(2 * half, after, 1)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, after, H, W) of features (N, before, H, W)."""
        inner = self.through(x)
        for block in self.blocks:
            inner = block(inner) + inner if self.shortcut else block(inner)
        joined: Tensor = self.joined(torch.cat([inner, self.past(x)], dim=1))
        return joined


class Pooled(nn.Module):
    """Spatial pyramid pooling: what is the most within 5, 9 and 13 cells."""

    def __init__(self, channels: int) -> None:
        """Build the layers."""
        super().__init__()
        half = channels // 2
        self.before, self.after = convolution(channels, half, 1), convolution(4 * half, channels, 1)
        self.pools = nn.ModuleList(nn.MaxPool2d(side, stride=1, padding=side // 2) for side in (5, 9, 13))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of those given, (N, channels, H, W)."""
        x = self.before(x)
        pooled: Tensor = self.after(torch.cat([x, *(pool(x) for pool in self.pools)], dim=1))
        return pooled


def convolution(before: int, after: int, side: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size but for its stride, normalised, with SiLU behind it."""
    return nn.Sequential(
        nn.Conv2d(before, after, side, stride, padding=side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=_EPSILON),
        nn.SiLU(inplace=True),
    )


def _depthwise(before: int, after: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(convolution(before, before, side, stride, groups=before), convolution(before, after, 1))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


ARCHITECTURES = (
    Architecture(
        "yolox",
        lambda width, depthwise, _: YOLOX(width, depthwise=depthwise),
        {"plain": False, "depthwise": True},
        inputs=("pre", "post"),
        colours=AS_THEY_ARE,
    ),
)
