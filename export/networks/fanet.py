"""FANet (paper 002): a convolutional backbone that refines low and high frequencies apart, and what is built on it.

Layers are named as the published weights name them, so that these load as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.fanet_blocks import ABLATIONS, SCM_GROUPS, WHOLE, Block, Parts
from export.networks.uperhead import UPerNet

DIMS = (96, 192, 384, 768)
"""Channels of the four stages at full width; their strides are 4, 8, 16 and 32."""

FANET_B = (2, 2, 8, 2)
"""Blocks per stage of FANet-B, the paper's."""

FANET_S = (2, 2, 3, 1)
"""Blocks per stage of the small network for the demonstration."""

HEAD_CHANNELS = 256
"""Channels of both heads at full width; mmsegmentation's own default is 512."""

IMAGENET_CLASSES = 1000

_SIZES = {"fanet_b": FANET_B, "fanet_s": FANET_S}
_KERNELS = (5, 5, 3, 3)
# Half of a block's channels go through convolutions of four groups.
_MULTIPLE = 2 * SCM_GROUPS


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


class FANetUPer(UPerNet):
    """The network for waste.

    Args:
        width: multiplier on all channels of backbone and heads.
        depths: blocks per stage of the backbone.
        classes: label values.
        parts: see `Parts`.
    """

    backbone: FANet

    def __init__(
        self, width: float = 1.0, depths: Sequence[int] = FANET_B, classes: int = 5, parts: Parts = WHOLE
    ) -> None:
        """Build the layers."""
        channels = max(8, round(width * HEAD_CHANNELS))
        super().__init__(FANet(width, depths, parts), stage_dims(width), channels, classes)


def stage_dims(width: float) -> tuple[int, ...]:
    """Return the channels of the four stages at `width`."""
    return tuple(_MULTIPLE * max(1, round(width * channels / _MULTIPLE)) for channels in DIMS)


def _begin(layer: nn.Module) -> None:
    """Give a layer the weights that the reference begins with."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def is_backbone_alone(weights: Mapping[str, Tensor]) -> bool:
    """Return whether weights are of FANet's backbone, with or without its classifier, and no whole model's."""
    return any(key.startswith("downsample_layers.") for key in weights)


def _whole(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if is_backbone_alone(weights):
        raise ValueError("it is a backbone alone: `train fanet --start` takes it; a model needs its heads too")
    return dict(weights)


ARCHITECTURES = (
    Architecture(
        "fanet",
        lambda width, depths, classes: FANetUPer(width, depths, classes),
        _SIZES,
        stages=(r"backbone\.stages\.([0-3])\.(\d+)\.", "0123"),
        label_bias="decode_head.conv_seg.bias",
        adopted=_whole,
    ),
    Architecture(
        "fanet_parts",
        lambda width, ablation, classes: FANetUPer(width, ablation[0], classes, ablation[1]),
        {f"{size}_{name}": (depths, parts) for size, depths in _SIZES.items() for name, parts in ABLATIONS.items()},
        label_bias="decode_head.conv_seg.bias",
    ),
)
