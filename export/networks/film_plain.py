"""A plain network of radiographs: convolutions of 3x3 and nothing else, under the head of the paper.

Several of them may answer together: networks of one size that were learnt apart, side by side in one graph.
"""

from __future__ import annotations

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.keras_layers import FilmNetwork, scaled, standardised

_LEVELS = ((32, 1), (64, 2), (128, 2), (256, 2))
"""Channels and convolutions of each level, each at half the size of the one before."""

_MEMBERS = {str(members): members for members in range(1, 17)}
"""Name → networks that answer together."""

_FLAT = 0.02
"""A deviation, five grey levels, below which a film is not stretched to the full: it shows nothing but noise."""


class FilmPlain(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], grey, S a multiple of 16; features of 128 are 8x8x256.

    Every film is shown with the same mean and deviation; see `standardised`. Channels of several members follow each
    other, those of the first first, and no convolution mixes them.

    Args:
        width: multiplier on all channels of each member.
        members: networks that answer together, by the mean of their logits.
    """

    def __init__(self, width: float = 1.0, members: int = 1) -> None:
        """Build the layers."""
        channels = members * scaled(_LEVELS[-1][0], width)
        super().__init__(_Backbone(width, members), channels, width, dropout=0.5, members=members)


class _Backbone(nn.Module):
    def __init__(self, width: float, members: int) -> None:
        super().__init__()
        layers, before = list[nn.Module](), 1
        for channels, count in _LEVELS:
            for number in range(count):
                after = members * scaled(channels, width)
                stride, groups = 1 if number else 2, members if layers else 1
                layers += [
                    nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, groups=groups, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                ]
                before = after
        self.levels = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.levels(standardised(images[:, :1], _FLAT))
        return features


ARCHITECTURES = (
    Architecture(
        "film_plain",
        lambda width, members, *_: FilmPlain(width, members),
        depths=_MEMBERS,
        members=_MEMBERS,
    ),
)
