"""DeepLabv2 (Chen et al., 2016): a dilated residual network and the sum of four dilated classifiers.

The conditional random field behind it and the three scales of its training are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.resnet import DEPTHS, ResNet, stage_channels

RATES = (6, 12, 18, 24)
"""Dilations of the four classifiers."""


class DeepLabV2(nn.Module):
    """42,795,088 parameters at full width and depth with 3 channels in and 4 classes; features at an eighth."""

    def __init__(self, width: float, depths: Sequence[int], in_channels: int = 3, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``; a one-channel picture is repeated."""
        super().__init__()
        self.in_channels = in_channels
        self.backbone = ResNet(in_channels, depths, (1, 2, 1, 1), (1, 1, 2, 4), stride_first=True, width=width)
        # As Caffe pools: the last window may reach beyond the edge.
        self.backbone.maxpool.ceil_mode = True
        deepest = stage_channels(width)[-1]
        self.aspp = nn.ModuleList(
            nn.Conv2d(deepest, classes, kernel_size=3, padding=rate, dilation=rate) for rate in RATES
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of images (N, C, H, W)."""
        x = images.expand(-1, self.in_channels, -1, -1)
        features = self.backbone(x)[-1]
        first, *others = (classifier(features) for classifier in self.aspp)
        return F.interpolate(sum(others, first), size=images.shape[-2:], mode="bilinear", align_corners=False)


ARCHITECTURES = (
    Architecture(
        "deeplabv2",
        lambda width, depths, _classes: DeepLabV2(width, depths),
        depths={**DEPTHS, "small": (2, 2, 4, 2)},
        usual="resnet101",
    ),
)
