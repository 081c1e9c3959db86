"""U-Net++ (Zhou et al., 2018): a U-Net whose skips pass through nested blocks, supervised at every depth.

Node X(i, j) is of level i, the size halved i times, and j steps from the encoder. It takes in all earlier nodes of its
level and the node below it, enlarged. As the widespread port has it: bilinear enlarging and batch normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture

WIDTHS = (32, 64, 128, 256, 512)
"""Channels of the five levels at full width."""


class UNetPlusPlus(nn.Module):
    """Fifteen nodes and four heads, on X(0, 1) to X(0, 4). 9,163,248 parameters at full width with 1 channel in."""

    def __init__(self, width: float = 1.0, in_channels: int = 1, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__()
        widths = [max(1, round(width * channels)) for channels in WIDTHS]
        self.pool = nn.MaxPool2d(2)
        self.nodes = nn.ModuleDict()
        for step in range(len(widths)):
            for level in range(len(widths) - step):
                own = widths[level]
                above = in_channels if level == 0 else widths[level - 1]
                taken = above if step == 0 else step * own + widths[level + 1]
                self.nodes[f"{level}_{step}"] = _block(taken, own)
        self.heads = nn.ModuleList(nn.Conv2d(widths[0], classes, kernel_size=1) for _ in widths[1:])

    def forward(self, slices: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of slices (N, C, H, W) in [0, 1]; H and W are multiples of 16.

        They are those of the deepest head: its authors' "accurate mode" averages all four.
        """
        return self.supervised(slices)[-1]

    def supervised(self, slices: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of all four heads, the shallowest first: training sums their losses."""
        levels: list[list[Tensor]] = []
        x = slices
        for level in range(len(self.heads) + 1):
            x = self.nodes[f"{level}_0"](self.pool(x) if level else x)
            levels.append([x])
        for step in range(1, len(levels)):
            for level in range(len(levels) - step):
                below = F.interpolate(levels[level + 1][-1], scale_factor=2.0, mode="bilinear", align_corners=True)
                levels[level].append(self.nodes[f"{level}_{step}"](torch.cat([*levels[level], below], dim=1)))
        return tuple(head(node) for head, node in zip(self.heads, levels[0][1:], strict=True))


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return two 3×3 convolutions with bias, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


ARCHITECTURES = (Architecture("unet_plus_plus", lambda width, *_: UNetPlusPlus(width)),)
