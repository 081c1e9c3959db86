"""What a network of clicks is trained to make small."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_SIDE = 0.25


def mask_loss(logits: Sequence[Tensor], masks: Tensor) -> Tensor:
    """Return cross-entropy and soft Jaccard distance of the answer, and cross-entropy of the maps on the way to it.

    Args:
        logits: (N, 1, s, s) each, the answer last; interpolated to the masks' size as the served graph does.
        masks: float (N, S, S), 1 where the object is.
    """
    *sides, answer = (_at_size(each, masks.shape[-1]) for each in logits)
    loss = F.binary_cross_entropy_with_logits(answer, masks) + jaccard_distance(answer.sigmoid(), masks)
    for side in sides:
        loss = loss + _SIDE * F.binary_cross_entropy_with_logits(side, masks)
    return loss


def promise_loss(logits: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """Return the cross-entropy of the answer where people clicked, averaged over these places.

    Args:
        logits: (N, 1, s, s), the answer; interpolated as in `mask_loss`.
        masks: as there.
        weights: float (N, S, S), how much a pixel is of a click, 0 … 1.
    """
    entropy = F.binary_cross_entropy_with_logits(_at_size(logits, masks.shape[-1]), masks, reduction="none")
    return (entropy * weights).sum() / weights.sum().clamp_min(1)


def jaccard_distance(probability: Tensor, masks: Tensor) -> Tensor:
    """Return 1 − Σmin/Σmax of each sample's probabilities and mask, (N, S, S), averaged over the samples."""
    overlap = torch.minimum(probability, masks).sum(dim=(1, 2))
    union = torch.maximum(probability, masks).sum(dim=(1, 2))
    return (1 - (overlap + 1) / (union + 1)).mean()


def _at_size(logits: Tensor, size: int) -> Tensor:
    resized = F.interpolate(logits.float(), size=(size, size), mode="bilinear", align_corners=True)
    return resized.squeeze(1)
