"""The decision rule of `gateway.vision.labels.decide`, inside a graph."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 4
"""Side in pixels of the squares that stand for their pixels where grades are smoothed: of all pixels it takes long."""

_LEAST = 1e-4
"""Added to a weight, so that where nothing is in the foreground nothing is divided by zero."""


def odds_of(logits: Tensor, smoothing: int = 0) -> Tensor:
    """Return how likely each class of a pixel is beside the others, float32 (N, C, H, W), not yet sums of 1.

    With `smoothing` the shares of the classes above the background are those of a square of about so many pixels around
    each; see `_shares_around`.

    Args:
        logits: float32 (N, C, H, W).
        smoothing: an odd multiple of `CELL`, of which H and W are multiples then; 0: each pixel for itself.
    """
    odds = (logits - logits.amax(dim=1, keepdim=True)).exp()
    if not smoothing:
        return odds
    foreground = odds[:, 1:].sum(dim=1, keepdim=True)
    return torch.cat([odds[:, :1], foreground * _shares_around(logits, smoothing)], dim=1)


def quantised_and_decided(odds: Tensor, threshold: float | None) -> tuple[Tensor, Tensor]:
    """Return the label map, uint8 (N, H, W), and the probabilities, uint8 (N, H, W, C), of `odds_of` logits.

    Probabilities are round(255 · softmax), reckoned plane by plane: runtimes that have a softmax for the last axis
    alone would turn the logits around, and back. The label map follows from the quantised probabilities, so that both
    outputs agree with each other to the bit.
    """
    quantised = (odds * (255 / odds.sum(dim=1, keepdim=True))).round()
    return _decided(quantised, threshold).to(torch.uint8), quantised.to(torch.uint8).permute(0, 2, 3, 1)


def _shares_around(logits: Tensor, side: int) -> Tensor:
    """Return how likely each class above the background is where there is one, float32 (N, C − 1, H, W), sums of 1.

    The logarithms of what each cell of `CELL` pixels says are averaged over a square around it, weighted by how likely
    the foreground is there: a roof is graded as a whole, and not in patches.

    Args:
        logits: float32 (N, C, H, W); H and W are multiples of `CELL`.
        side: of the square, in pixels; an odd multiple of `CELL`.
    """
    cells = F.avg_pool2d(logits, CELL)
    weight = (cells[:, 1:].logsumexp(dim=1, keepdim=True) - cells[:, :1]).sigmoid()
    weighted = torch.cat([weight * cells[:, 1:].log_softmax(dim=1), weight], dim=1)
    count = side // CELL
    along = F.avg_pool2d(weighted, (1, count), stride=1, padding=(0, count // 2))
    mean = F.avg_pool2d(along, (count, 1), stride=1, padding=(count // 2, 0))
    shares = (mean[:, :-1] / (mean[:, -1:] + _LEAST)).softmax(dim=1)
    return F.interpolate(shares, scale_factor=float(CELL), mode="bilinear", align_corners=False)


def _decided(quantised: Tensor, threshold: float | None) -> Tensor:
    if threshold is None:
        return quantised.argmax(dim=1)
    foreground = quantised[:, 1:]
    likeliest = foreground.argmax(dim=1) + 1
    # The slack of `gateway.vision.labels.decide`: t = k/255 is not exactly representable.
    least = ceil(255 * threshold - 1e-6)
    return torch.where(foreground.sum(dim=1) >= least, likeliest, 0)
