"""The decision rule of `gateway.vision.labels.decide`, inside a graph."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 4
"""Side in pixels of the squares whose means `smoothed` works with: those of all pixels would take ten times as long."""

_LEAST = 1e-4
"""Added to a weight, so that where nothing is in the foreground nothing is divided by zero."""


def smoothed(logits: Tensor, side: int) -> Tensor:
    """Return logits (N, C, H, W) by which neighbouring pixels of the foreground are of one class.

    Class 0 is the background: how likely it is stays as it is. Of the others, each pixel is given the mean logarithm of
    their shares over a square of about `side` pixels around it, weighted by how likely the foreground is there. A roof
    is then graded as a whole, and not in patches.

    Args:
        logits: float32; H and W are multiples of `CELL`.
        side: an odd multiple of `CELL`.
    """
    foreground = logits[:, 1:].logsumexp(dim=1, keepdim=True)
    weight = (foreground - logits[:, :1]).sigmoid()
    weighted = torch.cat([weight * logits[:, 1:].log_softmax(dim=1), weight], dim=1)
    cells = side // CELL
    mean = F.avg_pool2d(F.avg_pool2d(weighted, CELL), cells, stride=1, padding=cells // 2)
    shares = F.interpolate(
        mean[:, :-1] / (mean[:, -1:] + _LEAST), scale_factor=float(CELL), mode="bilinear", align_corners=False
    )
    return torch.cat([logits[:, :1], foreground + shares.log_softmax(dim=1)], dim=1)


def quantised_and_decided(logits: Tensor, threshold: float | None) -> tuple[Tensor, Tensor]:
    """Return the label map, uint8 (N, H, W), and the probabilities, uint8 (N, H, W, C), of logits (N, C, H, W).

    Probabilities are round(255 · softmax).

    The label map follows from the quantised probabilities, so that both outputs agree with each other to the bit.
    """
    # Classes last once, for softmax, argmax and the output alike.
    quantised = torch.round(255 * logits.permute(0, 2, 3, 1).softmax(dim=-1))
    return _decided(quantised, threshold).to(torch.uint8), quantised.to(torch.uint8)


def _decided(quantised: Tensor, threshold: float | None) -> Tensor:
    if threshold is None:
        return quantised.argmax(dim=-1)
    foreground = quantised[..., 1:]
    likeliest = foreground.argmax(dim=-1) + 1
    # The slack of `gateway.vision.labels.decide`: t = k/255 is not exactly representable.
    least = ceil(255 * threshold - 1e-6)
    return torch.where(foreground.sum(dim=-1) >= least, likeliest, 0)
