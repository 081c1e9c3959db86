"""The lungs of a chest radiograph: a small network that finds them, the box around them, and what is shown of a film.

What surrounds the lungs tells hospitals apart (frames, letters, arms, tubes' holders), and so do a film's grey levels
as a whole. Where a network is shown lungs alone, by their own levels, it cannot look at either.

Lungs are P(lung), float32 (N, 1, h, w) in [0, 1], over the whole film. Everything here is continuous in them: where
rounding moves one of them a little, what is shown moves a little.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_CHANNELS = (16, 24, 40, 64, 96)

_MARGIN = 2.0
"""Half a box in deviations of where the lungs are; evenly spread over it they would reach to 1.73."""

_NOWHERE = 1e-3
"""P(lung) that is added everywhere, so that a picture without lungs is seen as a whole."""

_SPREAD = 0.5
"""What the deviation of the lungs' grey levels becomes; their mean becomes 0."""

_FLAT = 1e-3


class LungUNet(nn.Module):
    """A U-Net of four levels: takes grey (N, 1, h, w), sides multiples of 16, and gives logits of the same size.

    Args:
        width: multiplier on all channels.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers."""
        super().__init__()
        first, *deeper = (max(1, round(channels * width)) for channels in _CHANNELS)
        down, up, before = [conv_norm(1, first)], [], first
        for channels in deeper:
            down.append(nn.Sequential(conv_norm(before, channels, stride=2), conv_norm(channels, channels)))
            up.append(conv_norm(before + channels, before))
            before = channels
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(reversed(up))
        self.head = nn.Conv2d(first, 1, kernel_size=1)

    def forward(self, grey: Tensor) -> Tensor:
        """Return the logits; every film is brought to the same mean and deviation first."""
        levels = [standardised(grey, torch.ones_like(grey))]
        for layer in self.down:
            levels.append(layer(levels[-1]))
        features = levels.pop()
        for layer in self.up:
            wide = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = layer(torch.cat([wide, levels.pop()], dim=1))
        logits: Tensor = self.head(features)
        return logits


class Box(NamedTuple):
    """Boxes on films in the coordinates of `grid_sample`, x before y, −1 and 1 at the edges: each (N, 2)."""

    centre: Tensor
    half: Tensor


def box_of(lungs: Tensor) -> Box:
    """Return the boxes around lungs, by the mean and the deviation of where they are.

    Edges of a thresholded mask would jump with a single pixel.
    """
    weights = lungs + _NOWHERE
    weights = weights / weights.sum(dim=(2, 3), keepdim=True)
    centres, halves = [], []
    for along, across in ((3, 2), (2, 3)):
        side = lungs.shape[along]
        places = (torch.arange(side, dtype=lungs.dtype, device=lungs.device) + 0.5) * (2 / side) - 1
        shares = weights.sum(dim=across).flatten(1)
        centre = (shares * places).sum(dim=1, keepdim=True)
        centres.append(centre)
        halves.append(_MARGIN * torch.sqrt((shares * (places - centre).square()).sum(dim=1, keepdim=True)))
    return Box(torch.cat(centres, dim=1), torch.cat(halves, dim=1))


def cropped(films: Tensor, box: Box, size: int) -> Tensor:
    """Return what boxes hold of films (N, C, h, w) as (N, C, size, size): bilinear, 0 beyond the film."""
    return _sampled(films, box.centre, box.half, size)


def placed(maps: Tensor, box: Box, size: int) -> Tensor:
    """Return maps (N, C, h, w) over boxes as maps over the films, (N, C, size, size), 0 beside the boxes."""
    return _sampled(maps, -box.centre / box.half, 1 / box.half, size)


def grown(lungs: Tensor) -> Tensor:
    """Return lungs with a soft rim, a fortieth of their box wide: what lies at the pleura is not cut off."""
    reach = lungs.shape[-1] // 40
    widened = F.max_pool2d(lungs, 2 * reach + 1, stride=1, padding=reach)
    soft = 2 * (reach // 2) + 1
    return F.avg_pool2d(widened, soft, stride=1, padding=soft // 2)


def standardised(grey: Tensor, where: Tensor) -> Tensor:
    """Return grey (N, 1, h, w) with one mean and one deviation for all films, both weighted by `where`, alike."""
    total = where.sum(dim=(1, 2, 3), keepdim=True) + _FLAT
    apart = grey - (grey * where).sum(dim=(1, 2, 3), keepdim=True) / total
    spread = torch.sqrt((apart.square() * where).sum(dim=(1, 2, 3), keepdim=True) / total + _FLAT**2)
    return apart * (_SPREAD / spread)


def conv_norm(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, batch normalisation and ReLU."""
    convolution = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


def _sampled(maps: Tensor, centre: Tensor, half: Tensor, size: int) -> Tensor:
    steps = (torch.arange(size, dtype=maps.dtype, device=maps.device) + 0.5) * (2 / size) - 1
    x = (centre[:, :1] + half[:, :1] * steps).unsqueeze(1).expand(-1, size, -1)
    y = (centre[:, 1:] + half[:, 1:] * steps).unsqueeze(2).expand(-1, -1, size)
    return F.grid_sample(maps, torch.stack([x, y], dim=3), mode="bilinear", padding_mode="zeros", align_corners=False)
