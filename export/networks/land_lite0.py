"""Land cover on EfficientNet-Lite0: a U-Net's way up from the public encoder, its edges as fine as the image."""

from __future__ import annotations

from torch import Tensor

from export.networks.architecture import Architecture
from export.networks.lite0 import LITE0_COLOURS
from export.networks.unet_lite0 import Lite0UNet


class LandLite0(Lite0UNet):
    """A U-Net on the public encoder, left before its last level.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
        classes: of the logits.
    """

    def __init__(self, width: float = 1.0, classes: int = 5) -> None:
        """Build the layers."""
        super().__init__(width, classes, finer=True)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W), whose sides may be any."""
        return self.risen(self.levels(image), *image.shape[-2:])


ARCHITECTURES = (
    Architecture("land_lite0", lambda width, *_: LandLite0(width), colours=LITE0_COLOURS, encoder="lite0"),
)
