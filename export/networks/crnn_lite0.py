"""Recurrent network on EfficientNet-Lite0: damage from an image before a disaster and one or several after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS
from export.networks.siamcrnn import ConvLSTM
from export.networks.unet_lite0 import Lite0UNet

_FEWEST = 16
"""Channels of a state, where the level has so many."""


class RecurrentLite0(Lite0UNet):
    """A U-Net whose public encoder sees each date; at each of its levels a ConvLSTM reads the dates in their order.

    As in `SiamCRNN` only the last hidden state of a level goes on; it has half the level's channels. Any number of
    dates may be given.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
    """

    def __init__(self, width: float = 1.0, classes: int = 5) -> None:
        """Build the layers."""
        super().__init__(width, classes, _hidden, finer=True)
        self.cells = nn.ModuleList(ConvLSTM(channels, _hidden(channels)) for channels in self.lite0.channels)

    def forward(self, *images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W), one a date, in the order of their dates.

        Raises:
            ValueError: there is no image.
        """
        if not images:
            raise ValueError("a series has one image at least")
        # One batch of all dates halves the number of kernels and gives batch normalisation one set of statistics.
        levels = self.levels(torch.cat(images))
        states = [
            cell(features.unflatten(0, (len(images), -1)).unbind())
            for cell, features in zip(self.cells, levels, strict=True)
        ]
        return self.risen(states, *images[0].shape[-2:])


def _hidden(channels: int) -> int:
    """Return the channels of the state of a cell; the finest levels, which have few, keep all."""
    return max(min(channels, _FEWEST), channels // 2)


ARCHITECTURES = (
    Architecture(
        "crnn_lite0",
        lambda width, *_: RecurrentLite0(width),
        inputs=("pre", "post"),
        colours=LITE0_COLOURS,
        encoder="lite0",
    ),
)
