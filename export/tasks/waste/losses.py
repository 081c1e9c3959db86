"""What networks of waste are trained to make small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from export.tasks.waste.graph import at_size
from export.tasks.waste.samples import IGNORED


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts.

    Attributes:
        auxiliary: the cross-entropy of the second head, beside that of the first.
        dice: soft Dice distance of the first head, which is not FANet's.
        classes: of the classes in the cross-entropy; none: all alike.
    """

    auxiliary: float = 0.4
    dice: float = 0.0
    classes: tuple[float, ...] = ()


def terms(logits: Sequence[Tensor], labels: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """Return the weighted terms of the loss by name; terms of weight 0 are left out.

    Args:
        logits: (N, C, h, w) of the first head and, where there is one, of the second.
        labels: integers (N, H, W); 255 counts for nothing.
        weights: of terms and classes.
    """
    classes = torch.tensor(weights.classes, device=labels.device) if weights.classes else None
    first, *second = (at_size(each.float(), labels.shape[-2:]) for each in logits)
    found = {"entropy": F.cross_entropy(first, labels, classes, ignore_index=IGNORED)}
    if weights.dice:
        found["dice"] = weights.dice * dice_distance(first, labels)
    if second and weights.auxiliary:
        found["auxiliary"] = weights.auxiliary * F.cross_entropy(second[0], labels, classes, ignore_index=IGNORED)
    return found


def dice_distance(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 − soft Dice, averaged over the classes that the batch holds.

    Args:
        logits: (N, C, H, W).
        labels: integers (N, H, W); 255 counts for nothing.
    """
    judged = (labels != IGNORED).unsqueeze(1)
    truth = F.one_hot(labels.where(judged[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2) * judged
    likely = logits.softmax(dim=1) * judged
    overlap, size = (likely * truth).sum(dim=(0, 2, 3)), (likely + truth).sum(dim=(0, 2, 3))
    held = truth.sum(dim=(0, 2, 3)) > 0
    return (1 - (2 * overlap + 1) / (size + 1))[held].mean()
