"""What graph wrappers of networks that label the pixels of images have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.graphs.decision import odds_of, quantised_and_decided
from export.graphs.framing import Framing
from export.networks.colours import IMAGENET, Colours


class ServedModel(nn.Module, ABC):
    """A network that takes pixels as decoded and answers with label values.

    Inputs are uint8 (N, T, T, 3) RGB, one per role. The outputs are `label_map`, uint8 (N, T, T), and
    `probabilities`, uint8 (N, T, T, C) = round(255 · softmax).
    """

    scale: Tensor
    factors: Tensor | None

    def __init__(self, network: nn.Module, framing: Framing, colours: Colours = IMAGENET) -> None:
        """Wrap `network`, which takes normalised (N, 3, T / reduction, T / reduction) images and gives logits."""
        super().__init__()
        self.network = network
        self.reduction = framing.reduction
        self.threshold = framing.threshold
        self.smoothing = framing.smoothing
        self.order = colours.order
        mean, std = (torch.tensor(constant).view(1, 3, 1, 1) for constant in (colours.mean, colours.std))
        # x / 255, − mean, / std and + tint as one multiplication and one addition per role.
        self.register_buffer("scale", 1 / (255 * std))
        tints = {"post": torch.tensor(framing.post_tint).view(1, 3, 1, 1)}
        for role in self.roles:
            self.register_buffer(f"offset_{role}", tints.get(role, torch.zeros(1)) - mean / std)
        offsets = torch.tensor(framing.offsets).view(1, -1, 1, 1)
        self.register_buffer("factors", offsets.exp() if framing.offsets else None)
        self.eval().requires_grad_(requires_grad=False)

    @property
    @abstractmethod
    def roles(self) -> tuple[str, ...]:
        """The names of the inputs, in the order of `forward`."""

    def answer(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities) of one batch per role."""
        return self.decided(self.network(*self.prepared(*images)))

    def prepared(self, *images: Tensor) -> list[Tensor]:
        """Return what the network takes of one batch per role."""
        return [self._prepare(image, role) for image, role in zip(images, self.roles, strict=True)]

    def decided(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities) of the network's logits."""
        if self.reduction > 1:
            logits = F.interpolate(logits, scale_factor=float(self.reduction), mode="bilinear", align_corners=False)
        odds = odds_of(logits, self.smoothing)
        if self.factors is not None:
            odds = odds * self.factors
        return quantised_and_decided(odds, self.threshold)

    def _prepare(self, image: Tensor, role: str) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).float()
        if self.reduction > 1:
            pixels = F.avg_pool2d(pixels, self.reduction)
        if self.order == "bgr":
            pixels = pixels.flip(1)
        return pixels * self.scale + self.get_buffer(f"offset_{role}")
