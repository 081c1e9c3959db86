"""A plain network of radiographs that is shown the lungs alone, under the head of the paper."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.keras_layers import FilmNetwork, scaled
from export.networks.lungs import Box, LungUNet, box_of, conv_norm, cropped, grown, standardised

_CHANNELS = (16, 32, 64, 112)
"""Of each level; a plain network of few parameters has less to learn archives by."""

_FINE = 2
"""Pixels of a crop, squared, that are averaged into one: sharpness tells archives apart too."""


class FilmLungs(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], S a multiple of 32; features of 224 are 5x5x112, over the lungs' box.

    Args:
        width: multiplier on all channels.
    """

    backbone: LungBackbone

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers."""
        backbone = LungBackbone(width)
        super().__init__(backbone, backbone.channels, width, dropout=0.5)

    def seen(self, images: Tensor) -> tuple[Tensor, Box]:
        """Return the features, and the boxes of the films (N, 3, S, S) in [0, 1] that they are of."""
        shown, box = self.backbone.shown(images)
        return self.backbone.levels(shown), box


class LungBackbone(nn.Module):
    """Finds the lungs and is shown nothing else.

    Attributes:
        lungs: learns before, and apart from, the other layers; see `export.tasks.radiograph.lungs`.
        levels: the layers that learn classes.
    """

    def __init__(self, width: float) -> None:
        """Build the layers."""
        super().__init__()
        self.lungs = LungUNet(width)
        self.channels = scaled(_CHANNELS[-1], width)
        first, *deeper = (scaled(channels, width) for channels in _CHANNELS)
        layers, before = [conv_norm(1, first, stride=2)], first
        for channels in deeper:
            layers += [conv_norm(before, channels, stride=2), conv_norm(channels, channels)]
            before = channels
        self.levels = nn.Sequential(*layers)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers but those that find lungs: these have learnt before."""
        super().train(mode)
        self.lungs.eval()
        return self

    def shown(self, images: Tensor) -> tuple[Tensor, Box]:
        """Return what is seen of films (N, 3, S, S), (N, 1, s, s) with s five fourteenths of S, and its boxes."""
        grey = images[:, :1]
        with torch.no_grad():
            lungs = self.lungs(F.avg_pool2d(grey, 2)).sigmoid()
            box = box_of(lungs)
            size = 5 * images.shape[-1] // 7
            within, here = (F.avg_pool2d(cropped(each, box, size), _FINE) for each in (grey, lungs))
            here = grown(here)
            return standardised(within, here) * here, box

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        features: Tensor = self.levels(self.shown(images)[0])
        return features


ARCHITECTURES = (Architecture("film_lungs", lambda width, *_: FilmLungs(width)),)
