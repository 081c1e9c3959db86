"""Networks of clicks as the benchmark meets them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.iog import IOGRefine

Pixels = NDArray[np.uint8]


class TorchClicks:
    """A network in training as the benchmark meets it."""

    def __init__(self, network: nn.Module, device: str) -> None:
        """Wrap a network in evaluation mode."""
        self._network, self._device = network, device

    def features(self, crop: Pixels, first: Pixels) -> object:
        """Return what is kept of a crop: the encoder's features, or the crop itself where there is no encoder."""
        joined = self._tensor(np.concatenate([crop, first], axis=-1))
        if not isinstance(self._network, IOGRefine):
            return joined
        with torch.inference_mode():
            return self._network.encode(joined)

    def probability(self, features: Any, clicks: Pixels) -> NDArray[np.float32]:
        """Return the probability (S, S) of the object."""
        size = clicks.shape[0]
        with torch.inference_mode():
            if isinstance(self._network, IOGRefine):
                logits = self._network.decode(features, self._tensor(clicks))[-1]
            else:
                logits = self._network(features)[-1]
            resized = F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=True)
        return np.asarray(resized.sigmoid()[0, 0].cpu().numpy(), np.float32)

    def _tensor(self, image: Pixels) -> Tensor:
        return torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float()
