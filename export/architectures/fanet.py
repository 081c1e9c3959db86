"""FANet (paper 002): a convolutional backbone that refines low and high frequencies apart, and what is built on it.

Layers are named as the published weights name them, so that these load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.architectures.uperhead import AuxiliaryHead, UPerHead

DIMS = (96, 192, 384, 768)
"""Channels of the four stages at full width; their strides are 4, 8, 16 and 32."""

FANET_B = (2, 2, 8, 2)
"""Blocks per stage of FANet-B, the paper's."""

FANET_S = (2, 2, 3, 1)
"""Blocks per stage of the small network for the demonstration."""

HEAD_CHANNELS = 256
"""Channels of both heads at full width; mmsegmentation's own default is 512."""

IMAGENET_CLASSES = 1000

_KERNELS = (5, 5, 3, 3)
_EXPANSION = 4
_SCM_GROUPS = 4
# Half of a block's channels go through convolutions of four groups.
_MULTIPLE = 2 * _SCM_GROUPS


@dataclass(frozen=True)
class Parts:
    """What of the attentive feature enhancement is there: the paper's ablations switch it off, one by one.

    The convolution behind a part that is missing takes fewer channels; with all three missing it takes the squeezed
    features as they are.

    Attributes:
        scm: the spatial context module, a 7×7 convolution in four groups.
        frm_high: the refinement of what differs from the local mean.
        frm_low: the refinement of what agrees with it.
    """

    scm: bool = True
    frm_high: bool = True
    frm_low: bool = True


WHOLE = Parts()
"""The paper's network."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of the channels at each pixel."""

    def __init__(self, channels: int) -> None:
        """Normalise `channels`, with FANet's epsilon."""
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FeatureRefinement(nn.Module):
    """FRM: features times, and less, their own blurred selves."""

    def __init__(self, channels: int, parts: Parts) -> None:
        """Build the layers of those `parts` that are there; one of the two is."""
        super().__init__()
        self.parts = parts
        self.down = _depthwise(channels, 3, stride=2)
        if parts.frm_low:
            self.lconv, self.norm1 = _depthwise(channels, 3), ChannelNorm(channels)
        if parts.frm_high:
            self.hconv, self.norm2 = _depthwise(channels, 3), ChannelNorm(channels)
        self.proj = nn.Conv2d(channels * (parts.frm_low + parts.frm_high), channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        blurred = F.interpolate(self.down(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        refined = []
        if self.parts.frm_low:
            refined.append(self.norm1(self.lconv(F.gelu(x * blurred))))
        if self.parts.frm_high:
            # The paper's caption has it the other way round; text and code subtract the blurred features.
            refined.append(self.norm2(self.hconv(F.gelu(x - blurred))))
        return F.gelu(self.proj(torch.cat(refined, dim=1)))


class FeatureEnhancement(nn.Module):
    """AFE: spatial context beside refined frequencies, at half of the channels."""

    def __init__(self, channels: int, kernel: int, parts: Parts) -> None:
        """Build the layers; `kernel` is the side of the positional embedding's convolution."""
        super().__init__()
        half = channels // 2
        self.dwconv, self.norm1 = _depthwise(channels, kernel), ChannelNorm(channels)
        self.proj1, self.norm2 = nn.Conv2d(channels, half, kernel_size=1), ChannelNorm(half)
        branches = 0
        self.ctx_conv: nn.Module | None = None
        self.enhance: nn.Module | None = None
        if parts.scm:
            self.ctx_conv = nn.Conv2d(half, half, kernel_size=7, padding=3, groups=_SCM_GROUPS)
            self.norm3 = ChannelNorm(half)
            branches += 1
        if parts.frm_low or parts.frm_high:
            self.enhance = FeatureRefinement(half, parts)
            branches += 1
        self.proj2 = nn.Conv2d(half * max(branches, 1), channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        x = x + self.norm1(F.gelu(self.dwconv(x)))
        x = self.norm2(F.gelu(self.proj1(x)))
        branches = []
        if self.ctx_conv is not None:
            branches.append(self.norm3(F.gelu(self.ctx_conv(x))))
        if self.enhance is not None:
            branches.append(self.enhance(x))
        return F.gelu(self.proj2(torch.cat(branches or [x], dim=1)))


class PerceptronMixing(nn.Module):
    """MLP of each pixel, with a depthwise convolution inside."""

    def __init__(self, channels: int) -> None:
        """Build the layers."""
        super().__init__()
        wide = _EXPANSION * channels
        self.fc1 = nn.Conv2d(channels, wide, kernel_size=1)
        self.pos = _depthwise(wide, 3)
        self.fc2 = nn.Conv2d(wide, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        x = F.gelu(self.fc1(x))
        mixed: Tensor = self.fc2(x + F.gelu(self.pos(x)))
        return mixed


class Block(nn.Module):
    """Feature enhancement, then MLP, each normalised before and added to what came in."""

    def __init__(self, channels: int, kernel: int, parts: Parts, drop: float) -> None:
        """Build the layers; `drop` is the chance that a sample skips a half of the block in training."""
        super().__init__()
        self.layer_norm1, self.layer_norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.attn = FeatureEnhancement(channels, kernel, parts)
        self.mlp = PerceptronMixing(channels)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        x = x + self._kept(self.attn(self.layer_norm1(x)))
        return x + self._kept(self.mlp(self.layer_norm2(x)))

    def _kept(self, branch: Tensor) -> Tensor:
        """Return a branch, in training without some of the samples, the others so much stronger (stochastic depth)."""
        if not self.training or not self.drop:
            return branch
        keep = 1 - self.drop
        return branch * (torch.rand(len(branch), 1, 1, 1, device=branch.device) < keep).to(branch.dtype) / keep


class FANet(nn.Module):
    """The backbone; 35,951,328 parameters as FANet-B.

    Args:
        width: multiplier on all channels, which then are rounded to multiples of 8; 1.0 is the paper's size.
        depths: blocks per stage.
        parts: see `Parts`.
        drop: stochastic depth of the last block; that of the others grows evenly up to it.
    """

    def __init__(
        self, width: float = 1.0, depths: Sequence[int] = FANET_B, parts: Parts = WHOLE, drop: float = 0.1
    ) -> None:
        """Build the layers."""
        super().__init__()
        dims = stage_dims(width)
        stem = nn.Conv2d(3, dims[0], kernel_size=5, stride=4, padding=2)
        between = (nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1) for a, b in pairwise(dims))
        self.downsample_layers = nn.ModuleList([stem, *between])
        drops = iter(torch.linspace(0, drop, sum(depths), device="cpu").tolist())
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(channels, kernel, parts, next(drops)) for _ in range(depth)))
            for channels, kernel, depth in zip(dims, _KERNELS, depths, strict=True)
        )
        self.apply(_begin)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the four stages' features, strides 4 to 32, of normalised images (N, 3, H, W), multiples of 32."""
        features = []
        x = image
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
            features.append(x)
        return tuple(features)


class FANetClassifier(FANet):
    """The backbone as it is pretrained on ImageNet: 36.72 M parameters, which is the size that the paper states."""

    def __init__(self, width: float = 1.0, depths: Sequence[int] = FANET_B, classes: int = IMAGENET_CLASSES) -> None:
        """Build the layers."""
        super().__init__(width, depths)
        channels = stage_dims(width)[-1]
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.head = nn.Linear(channels, classes)
        self.head.apply(_begin)

    def logits(self, image: Tensor) -> Tensor:
        """Return logits (N, classes) of normalised images (N, 3, H, W)."""
        pooled = self(image)[-1].mean(dim=(2, 3))
        logits: Tensor = self.head(self.norm(pooled))
        return logits


class FANetUPer(nn.Module):
    """The network for waste: backbone, UPerHead, and a second head on the third stage that only training asks.

    Args:
        width: multiplier on all channels of backbone and heads.
        depths: blocks per stage of the backbone.
        classes: label values.
        parts: see `Parts`.
    """

    def __init__(
        self, width: float = 1.0, depths: Sequence[int] = FANET_B, classes: int = 5, parts: Parts = WHOLE
    ) -> None:
        """Build the layers."""
        super().__init__()
        dims, channels = stage_dims(width), max(8, round(width * HEAD_CHANNELS))
        self.backbone = FANet(width, depths, parts)
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


def stage_dims(width: float) -> tuple[int, ...]:
    """Return the channels of the four stages at `width`."""
    return tuple(_MULTIPLE * max(1, round(width * channels / _MULTIPLE)) for channels in DIMS)


def _depthwise(channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride=stride, padding=kernel // 2, groups=channels)


def _begin(layer: nn.Module) -> None:
    """Give a layer the weights that the reference begins with."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
