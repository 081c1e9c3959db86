"""EfficientNet-Lite0 under the head of the paper on radiographs, which normalises each film by itself."""

from __future__ import annotations

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.keras_layers import FilmNetwork, standardised
from export.networks.lite0 import Lite0

_SPREAD = 0.5
"""What every film's deviation becomes, in the range of the encoder's images; its mean becomes 0."""

_FLAT = 1e-3


class FilmLite0(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], S a multiple of 32; features of 224 are 7x7x320.

    The network is shown each film with the same mean and the same deviation; see `standardised`.

    Args:
        width: multiplier on all channels; 1.0 is the size that the encoder's public weights fit.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers."""
        backbone = _Backbone(width)
        super().__init__(backbone, backbone.lite0.channels[-1], width, dropout=0.5)


class _Backbone(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        self.lite0 = Lite0(width)

    def forward(self, images: Tensor) -> Tensor:
        deepest: Tensor = self.lite0(_SPREAD * standardised(images, _FLAT))[-1]
        return deepest


ARCHITECTURES = (Architecture("film_lite0", lambda width, *_: FilmLite0(width), encoder="lite0"),)
