"""UPerNet (Xiao et al., 2018): UPerHead and the auxiliary head beside it, named as mmsegmentation's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.pyramid import BINS, AveragePool

_DROPOUT = 0.1


class Convolution(nn.Module):
    """A convolution without bias, batch normalisation and ReLU, named as mmcv's ``ConvModule``."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        """Build the layers."""
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H, W) of (N, in_channels, H, W)."""
        return F.relu(self.bn(self.conv(x)))


class UPerHead(nn.Module):
    """Pyramid pooling on the deepest features, a feature pyramid down from it, and all levels fused.

    9,223,429 parameters for FANet-B's features, 256 channels and five classes.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, classes: int) -> None:
        """Build the layers for features of `in_channels`, the finest first."""
        super().__init__()
        *finer, deepest = in_channels
        self.psp_modules = nn.ModuleList(
            nn.Sequential(AveragePool(bins), Convolution(deepest, channels, 1)) for bins in BINS
        )
        self.bottleneck = Convolution(deepest + len(BINS) * channels, channels, 3)
        self.lateral_convs = nn.ModuleList(Convolution(each, channels, 1) for each in finer)
        self.fpn_convs = nn.ModuleList(Convolution(channels, channels, 3) for _ in finer)
        self.fpn_bottleneck = Convolution(len(in_channels) * channels, channels, 3)
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.conv_seg = nn.Conv2d(channels, classes, kernel_size=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits (N, classes, h, w) on the grid of the finest features, which come first."""
        *finer, deepest = features
        pooled = [_resized(stage(deepest), deepest) for stage in self.psp_modules]
        levels = [lateral(each) for lateral, each in zip(self.lateral_convs, finer, strict=True)]
        levels.append(self.bottleneck(torch.cat([deepest, *pooled], dim=1)))
        for index in range(len(levels) - 1, 0, -1):
            levels[index - 1] = levels[index - 1] + _resized(levels[index], levels[index - 1])
        finest, *others = [convolution(level) for convolution, level in zip(self.fpn_convs, levels, strict=False)]
        fused = torch.cat([finest, *(_resized(each, finest) for each in (*others, levels[-1]))], dim=1)
        logits: Tensor = self.conv_seg(self.dropout(self.fpn_bottleneck(fused)))
        return logits


class AuxiliaryHead(nn.Module):
    """One convolution and a classifier on one level, mmsegmentation's ``FCNHead``: a second loss, never served."""

    def __init__(self, in_channels: int, channels: int, classes: int) -> None:
        """Build the layers."""
        super().__init__()
        self.convs = nn.Sequential(Convolution(in_channels, channels, 3))
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.conv_seg = nn.Conv2d(channels, classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes, h, w) of features (N, in_channels, h, w)."""
        logits: Tensor = self.conv_seg(self.dropout(self.convs(x)))
        return logits


class UPerNet(nn.Module):
    """A backbone of four levels, UPerHead, and a second head on the third level that only training asks."""

    def __init__(self, backbone: nn.Module, dims: Sequence[int], channels: int, classes: int) -> None:
        """Build the heads for a `backbone` that gives `dims` channels, the finest first."""
        super().__init__()
        self.backbone = backbone
        self.decode_head = UPerHead(dims, channels, classes)
        self.auxiliary_head = AuxiliaryHead(dims[2], channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, classes, H / 4, W / 4) of normalised images (N, 3, H, W); H and W are multiples of 32."""
        logits: Tensor = self.decode_head(self.backbone(image))
        return logits

    def with_auxiliary(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return those logits, and the second head's (N, classes, H / 16, W / 16)."""
        features = self.backbone(image)
        return self.decode_head(features), self.auxiliary_head(features[2])

    def labelling(self) -> nn.Module:
        """Return this network without the second head, which is not served; layers are shared."""
        return nn.Sequential(self.backbone, self.decode_head)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
