"""Deep Extreme Cut (Maninis et al., 2018): an object from its four extreme points."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.pyramid import PyramidPooling
from export.networks.resnet import DEPTHS, RESNET101, ResNet, stage_channels

_CONTEXT = 512


class DEXTR(ResNet):
    """ResNet at 1/8 of the resolution with a pyramid pooling head, named as the published checkpoints.

    Args:
        width: multiplier on all channels; 1.0 is the paper's size.
        depths: bottlenecks per stage.
    """

    def __init__(self, width: float = 1.0, depths: Sequence[int] = RESNET101) -> None:
        """Build the layers."""
        super().__init__(4, depths, (1, 2, 1, 1), (1, 1, 2, 4), stride_first=True, width=width)
        self.layer5 = _Head(stage_channels(width)[-1], max(1, round(width * _CONTEXT)))

    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
        """Return one logit map (N, 1, S / 8, S / 8) of (N, 4, S, S): RGB and the extreme points, all 0 … 255."""
        return (self.layer5(super().forward(crop)[-1]),)


class _Head(PyramidPooling):
    """Pyramid pooling and the last convolution."""

    def __init__(self, in_channels: int, context: int) -> None:
        super().__init__(in_channels, context, align_corners=False)
        self.final = nn.Conv2d(context, 1, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.final(super().forward(x))
        return logits


ARCHITECTURES = (Architecture("dextr", lambda width, depths, _: DEXTR(width, depths), DEPTHS),)
