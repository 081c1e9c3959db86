"""YOLOX on EfficientNet-Lite0: boxes of buildings with a class of damage from both images' features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS, Lite0
from export.networks.siamese_lite0 import with_difference
from export.networks.yolox import AS_THEY_ARE, Pooled, Pyramid, Split, convolution

_LEVELS = 4
"""Of the encoder: what is coarser is YOLOX's own."""

_CHANNELS, _HEAD = (48, 96, 192), 64
"""Of the features at 1/8, 1/16 and 1/32, and of the heads."""


class YOLOXLite0(nn.Module):
    """YOLOX's paths and heads on a public encoder that runs on both images.

    As in `SiameseLite0` each level is given the features of the image before the disaster and |after − before|.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers."""
        super().__init__()
        self.lite0 = Lite0(width, levels=_LEVELS)
        fine, middle, coarse = channels = [max(2, 2 * round(width * each / 2)) for each in _CHANNELS]
        *_, eighth, sixteenth = self.lite0.channels
        self.joined = nn.ModuleList((convolution(2 * eighth, fine, 1), convolution(2 * sixteenth, middle, 1)))
        self.coarse = nn.Sequential(
            convolution(middle, coarse, stride=2), Pooled(coarse), Split(coarse, coarse, 1, convolution, shortcut=False)
        )
        self.pyramid = Pyramid(channels, max(2, round(width * _HEAD)), convolution)

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return what each cell says, (N, A, 5 + GRADES), of images (N, 3, H, W), 0 to 255; see `YOLOX.forward`."""
        mean, deviation = (255 * each[0] for each in (LITE0_COLOURS.mean, LITE0_COLOURS.std))
        # One batch of both roles halves the number of kernels and gives batch normalisation one set of statistics.
        *_, eighth, sixteenth = self.lite0((torch.cat([pre, post]) - mean) / deviation)
        fine, middle = (
            join(with_difference(features)) for join, features in zip(self.joined, (eighth, sixteenth), strict=True)
        )
        answers: Tensor = self.pyramid(fine, middle, self.coarse(middle))
        return answers


ARCHITECTURES = (
    Architecture(
        "yolox_lite0",
        lambda width, *_: YOLOXLite0(width),
        inputs=("pre", "post"),
        colours=AS_THEY_ARE,
        encoder="lite0",
    ),
)
