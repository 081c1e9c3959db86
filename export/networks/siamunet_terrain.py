"""Siamese U-Net with terrain: elevation, height above ground and land cover as further channels; each may be missing.

Early fusion: rasters are channels beside the colours of the image after the disaster, and each has one more that says
where it is missing. Beside those of the image before it all are missing: what both images had alike would cancel in the
differences that the decoder is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.siamunet import SiameseUNet
from export.terrain import COVER, ELEVATION, SURFACE

TERRAIN_CHANNELS = 2 + 2 + len(COVER) + 1
"""Elevation, height and classes, and for each raster where it is missing."""

_HILL, _HOUSE = 30.0, 10.0
"""Metres that become 1."""

_HIGHEST = 3.0
"""Hills, or with a third of that below ground houses, beyond which heights are all one."""


class TerrainUNet(SiameseUNet):
    """A Siamese U-Net whose first convolution takes terrain too.

    Its weights for terrain begin with 0: what it answers is at first that of the images alone.
    """

    def __init__(self, width: float = 1.0, classes: int = 5) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__(width, classes, channels=3 + TERRAIN_CHANNELS)
        nn.init.zeros_(self.get_parameter("encoder.0.0.weight")[:, 3:])

    def forward(self, pre: Tensor, post: Tensor, terrain: Tensor | None = None) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W), and terrain as of `terrain_channels`.

        H and W are multiples of 16. Without terrain nothing is known of it.
        """
        known = torch.zeros_like(pre[:, :1])
        nothing = torch.cat([known, known + 1, known, known + 1, *[known] * len(COVER), known + 1], dim=1)
        beside = nothing if terrain is None else terrain
        return super().forward(torch.cat([pre, nothing], dim=1), torch.cat([post, beside], dim=1))


def terrain_channels(elevation: Tensor, surface: Tensor, landcover: Tensor, reduction: int = 1) -> Tensor:
    """Return rasters as the network takes them, float32 (N, 10, H / reduction, W / reduction).

    Elevation counts from the mean of what is known of the item: a town lies no lower by lying at the sea. Channels are
    0 where their raster is missing, and the last of each raster is 1 there.

    Args:
        elevation: float32 (N, H, W), metres above any level.
        surface: float32 (N, H, W), metres above ground.
        landcover: uint8 (N, H, W), values of `COVER`.
        reduction: pixels squared of which the mean is taken.
    """
    known, heights = _known(elevation, *ELEVATION)
    middle = heights.sum(dim=(1, 2), keepdim=True) / known.sum(dim=(1, 2), keepdim=True).clamp(min=1.0)
    hills = ((heights - middle) / _HILL).clamp(-_HIGHEST, _HIGHEST) * known
    standing, houses = _known(surface, *SURFACE)
    houses = (houses / _HOUSE).clamp(-1.0, 2 * _HIGHEST)
    values = landcover.float()
    classes = [(values == value).float() for value in range(len(COVER))]
    charted = (values < len(COVER)).float()
    channels = torch.stack([hills, 1 - known, houses, 1 - standing, *classes, 1 - charted], dim=1)
    return F.avg_pool2d(channels, reduction) if reduction > 1 else channels


def _known(heights: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return 1 where heights lie between bounds and else 0, which no number does, and the heights, 0 elsewhere."""
    known = (heights > low) & (heights < high)
    return known.float(), torch.where(known, heights, 0.0)


ARCHITECTURES = (
    Architecture(
        "siamunet_terrain",
        lambda width, *_: TerrainUNet(width),
        inputs=("pre", "post"),
        rasters=("elevation", "surface", "landcover"),
    ),
)
