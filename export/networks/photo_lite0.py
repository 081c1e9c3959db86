"""Waste on photographs: EfficientNet-Lite0 under the head of FANet's paper."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS, Lite0
from export.networks.uperhead import UPerHead

_HEAD = 64
"""Channels of the head at full width: a quarter of what FANet's has, for features of a fifth of its channels."""


class PhotoLite0(nn.Module):
    """UPerHead on the public encoder's features at 1/4, 1/8 and 1/16.

    Bags are large and told apart by their surroundings, which the head's pooling over the whole photograph sees; at 1/4
    its edges are as fine as FANet's. The encoder's last level, most of its weights, is left out.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: label values.
    """

    def __init__(self, width: float = 1.0, classes: int = 5) -> None:
        """Build the layers."""
        super().__init__()
        self.backbone = Lite0(width, levels=4)
        self.decode_head = UPerHead(self.backbone.channels[1:], max(8, round(width * _HEAD)), classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W); H and W are multiples of 32."""
        logits = self.decode_head(self.backbone(image)[1:])
        return F.interpolate(logits, scale_factor=4.0, mode="bilinear", align_corners=False)


ARCHITECTURES = (
    Architecture(
        "photo_lite0", lambda width, _, classes: PhotoLite0(width, classes), colours=LITE0_COLOURS, encoder="lite0"
    ),
)
