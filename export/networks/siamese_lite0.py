"""Siamese U-Net on EfficientNet-Lite0: damage from an image before and one after the disaster."""

from __future__ import annotations

import torch
from torch import Tensor

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS
from export.networks.unet_lite0 import Lite0UNet


class SiameseLite0(Lite0UNet):
    """A U-Net whose public encoder runs on both images.

    As in `SiameseUNet` the decoder consumes |post − pre| at every level. Beside it the decoder is given the features of
    the image before the disaster: where nothing has changed, a difference of good features has nothing to find a
    building by.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
    """

    def __init__(self, width: float = 1.0, classes: int = 5) -> None:
        """Build the layers."""
        super().__init__(width, classes, lambda channels: 2 * channels, finer=True)

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W), whose sides may be any."""
        # One batch of both roles halves the number of kernels and gives batch normalisation one set of statistics.
        levels = [with_difference(features) for features in self.levels(torch.cat([pre, post]))]
        return self.risen(levels, *pre.shape[-2:])


def with_difference(features: Tensor) -> Tensor:
    """Return (N, 2C, H, W), features before and |after − before|, of both roles' in one batch, (2N, C, H, W)."""
    before, after = features.unflatten(0, (2, -1)).unbind()
    return torch.cat([before, (after - before).abs()], dim=1)


ARCHITECTURES = (
    Architecture(
        "siamese_lite0",
        lambda width, *_: SiameseLite0(width),
        inputs=("pre", "post"),
        colours=LITE0_COLOURS,
        encoder="lite0",
    ),
)
