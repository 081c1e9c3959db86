"""A plain network of radiographs: convolutions of 3x3 and nothing else, under the head of the paper."""

from __future__ import annotations

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.keras_layers import FilmNetwork, scaled, standardised

_LEVELS = ((32, 1), (64, 2), (128, 2), (256, 2))
"""Channels and convolutions of each level, each at half the size of the one before."""

_FLAT = 0.02
"""A deviation, five grey levels, below which a film is not stretched to the full: it shows nothing but noise."""


class FilmPlain(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], grey, S a multiple of 16; features of 128 are 8x8x256.

    Every film is shown with the same mean and deviation; see `standardised`.

    Args:
        width: multiplier on all channels.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers."""
        super().__init__(_Backbone(width), scaled(_LEVELS[-1][0], width), width, dropout=0.5)


class _Backbone(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        layers, before = list[nn.Module](), 1
        for channels, count in _LEVELS:
            for number in range(count):
                after = scaled(channels, width)
                stride = 1 if number else 2
                layers += [
                    nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                ]
                before = after
        self.levels = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.levels(standardised(images[:, :1], _FLAT))
        return features


ARCHITECTURES = (Architecture("film_plain", lambda width, *_: FilmPlain(width)),)
