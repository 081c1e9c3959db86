"""pix2pix (Isola et al., 2017) as it removes clouds: a U-Net that draws the ground, and the rival that judges it.

The generator here does not draw the whole image anew. It says how much of each pixel's light is not the ground's, and
what that light would have to change by; so ground that no cloud covers stays as it is. A cloud of the colour A and the
opacity a turns the ground c into x = c + a (A - c), thus c = x + a (c - A) whatever the opacity is: one formula from
thin haze, where the ground shines through, to thick cloud, where all of it is invented.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.colours import Colours

SIGNED = Colours((0.5,) * 3, (0.5,) * 3)
"""pix2pix's: pixels from -1 to 1."""

_CHANNELS = 64
_WIDEST = 8
_SLOPE = 0.2
_DROPPED = 3
"""Levels on the way up, after the deepest, that are trained with dropout in the paper's layout."""

_WHOLE_RANGE = 2.0
"""From black to white: the most that a pixel can change by."""

_GROUPS = 4
# A tile of one colour has no variance; a larger constant than usual keeps rounding from being blown up.
_GROUP_EPSILON = 1e-3


class Layout(NamedTuple):
    """How deep a generator is, and what it is trained with.

    Attributes:
        levels: halvings down to the deepest features.
        widest: channels of the deepest levels, as a multiple of the first's.
        batch: whether features are normalised over the batch, else over groups of each image's channels. Networks of
            small batches that learn from a batch's statistics answer otherwise once they use those of all; and what one
            channel by itself is normalised to has lost how bright the image is, which haze is told by.
        dropout: whether the paper's levels are trained with it.
    """

    levels: int
    widest: int
    batch: bool
    dropout: bool


LAYOUTS = {"unet256": Layout(8, 8, batch=True, dropout=True), "unet32": Layout(5, 4, batch=False, dropout=False)}


class Generator(nn.Module):
    """The U-Net; as pix2pix has it, with three channels drawn, 54,413,955 parameters, and 2,049 for the cover.

    Args:
        width: multiplier on all channels; 1.0 is the paper's.
        layout: its depth.
    """

    def __init__(self, width: float = 1.0, layout: Layout = LAYOUTS["unet256"]) -> None:
        """Build the layers."""
        super().__init__()
        first = max(1, round(width * _CHANNELS))
        channels = [first * min(1 << level, layout.widest) for level in range(layout.levels)]
        self.multiple = 1 << layout.levels
        norm = _norm(batch=layout.batch)
        deepest = layout.levels - 1
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, own in enumerate(channels):
            before = channels[level - 1] if level else 3
            # Neither the first nor the deepest is normalised: the latter may be a single pixel.
            bare = level in (0, deepest)
            self.down.append(
                nn.Sequential(
                    *([nn.LeakyReLU(_SLOPE)] if level else []),
                    nn.Conv2d(before, own, kernel_size=4, stride=2, padding=1, bias=False),
                    *([] if bare else [norm(own)]),
                )
            )
        for level in reversed(range(1, layout.levels)):
            joined = channels[level] * (1 if level == deepest else 2)
            dropped = layout.dropout and deepest > level >= deepest - _DROPPED
            self.up.append(
                nn.Sequential(
                    nn.ReLU(),
                    nn.ConvTranspose2d(joined, channels[level - 1], kernel_size=4, stride=2, padding=1, bias=False),
                    norm(channels[level - 1]),
                    *([nn.Dropout(0.5)] if dropped else []),
                )
            )
        self.head = nn.ConvTranspose2d(2 * first, 4, kernel_size=4, stride=2, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return images without their clouds, (N, 3, H, W), and the cover, (N, 1, H, W) from 0 to 1.

        Args:
            images: (N, 3, H, W) from -1 to 1; the sides are multiples of `multiple`. What is returned may exceed that.
        """
        features, skips = images, list[Tensor]()
        for down in self.down:
            features = down(features)
            skips.append(features)
        features = skips.pop()
        for up in self.up:
            features = torch.cat([up(features), skips.pop()], dim=1)
        drawn = self.head(features.relu())
        cover = drawn[:, 3:].sigmoid()
        return images + cover * (_WHOLE_RANGE * drawn[:, :3].tanh()), cover


class Discriminator(nn.Module):
    """PatchGAN: looks at patches of 70 pixels, whether they belong to the cloudy image; 2,768,705 parameters.

    It is trained beside the generator and served nowhere.

    Args:
        width: multiplier on all channels; 1.0 is the paper's.
        batch: see `Layout`.
    """

    def __init__(self, width: float = 1.0, *, batch: bool = True) -> None:
        """Build the layers."""
        super().__init__()
        norm, own = _norm(batch=batch), max(1, round(width * _CHANNELS))
        layers: list[nn.Module] = [nn.Conv2d(6, own, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        for stride in (2, 2, 1):
            layers += [
                nn.Conv2d(own, 2 * own, kernel_size=4, stride=stride, padding=1, bias=False),
                norm(2 * own),
                nn.LeakyReLU(_SLOPE),
            ]
            own *= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(own, 1, kernel_size=4, padding=1))

    def forward(self, cloudy: Tensor, ground: Tensor) -> Tensor:
        """Return a logit per patch, (N, 1, h, w), of images (N, 3, H, W): positive where ground is taken for real."""
        logits: Tensor = self.layers(torch.cat([cloudy, ground], dim=1))
        return logits


def _norm(*, batch: bool) -> Callable[[int], nn.Module]:
    if batch:
        return nn.BatchNorm2d
    return lambda channels: _GroupNorm(math.gcd(_GROUPS, channels), channels, eps=_GROUP_EPSILON)


class _GroupNorm(nn.GroupNorm):
    """Normalises as its parent does, without its check of the batch's size, which cannot be traced."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.group_norm(features, self.num_groups, self.weight, self.bias, self.eps)


ARCHITECTURES = (
    Architecture(
        "pix2pix", lambda width, layout, _: Generator(width, layout), LAYOUTS, usual="unet256", colours=SIGNED
    ),
)
