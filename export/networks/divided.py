"""What networks of clicks have in common that are served as two graphs: an encoder per crop, a head per click."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

Features = tuple[Tensor, ...]


class Divided(nn.Module, ABC):
    """A network whose `backbone` runs once for a crop and whose other layers run again for every click.

    Attributes:
        backbone: takes (N, 5, S, S), RGB, the first inside clicks and the first outside clicks, all 0 … 255, and gives
            the feature maps.
        feature_channels: of each of these maps, in order.
    """

    backbone: nn.Module
    feature_channels: tuple[int, ...]

    def encode(self, crop: Tensor) -> Features:
        """Return the feature maps of (N, 5, S, S)."""
        features: Features = self.backbone(crop)
        return features

    @abstractmethod
    def decode(self, features: Features, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return logit maps (N, 1, s, s), the answer last.

        Args:
            features: of `encode`, which was given the first clicks alone.
            clicks: (N, 2, S, S), all inside and outside clicks so far, the first ones too, 0 … 255.
        """

    def served(self) -> Divided:
        """Return a network that answers as this one does in evaluation mode, divided as it is best served.

        What convolutions of the head make of features alone may be made by its `backbone`: its maps are others then.
        """
        return self

    def forward(self, crop: Tensor, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return the logit maps of a crop with its first clicks, and all clicks so far."""
        return self.decode(self.encode(crop), clicks)
