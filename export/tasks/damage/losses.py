"""One loss from one set of logits, in two factors: where buildings are, and how damaged they are.

With logits of five classes, P(building) = 1 - softmax[0], and the damage of a building is distributed as the softmax
of channels 1 to 4 alone. The factors are trained apart, so a rare class does not compete with the background.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from export.tasks.damage.data import UNCLASSIFIED


def building_logit(logits: Tensor) -> Tensor:
    """Return log odds (N, H, W) of "building" of logits (N, C, H, W) whose channel 0 is the background."""
    return logits[:, 1:].logsumexp(dim=1) - logits[:, 0]


def localisation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice of "building"; ``labels`` (N, H, W), every value > 0 is building."""
    odds = building_logit(logits)
    target = (labels > 0).to(odds.dtype)
    probability = odds.sigmoid()
    dice = 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    return F.binary_cross_entropy_with_logits(odds, target) + dice


def damage_loss(logits: Tensor, labels: Tensor, weights: Tensor, importance: Tensor) -> Tensor:
    """Return weighted cross-entropy plus soft Dice of the damage classes over classified building pixels.

    ``weights`` (4) are the classes' weights; ``importance`` (N, H, W) says how much a pixel counts, and lets a small
    building count like a large one. Without any such pixel the loss is 0.
    """
    judged = (labels > 0) & (labels != UNCLASSIFIED)
    damage = logits[:, 1:].permute(0, 2, 3, 1)[judged]
    target = labels[judged].long() - 1
    pixel = importance[judged]
    weight = pixel * weights[target]
    entropy = (F.cross_entropy(damage, target, reduction="none") * weight).sum() / weight.sum().clamp_min(1e-6)
    one_hot = F.one_hot(target, weights.numel()).to(damage.dtype)
    probability = damage.softmax(dim=1)
    overlap = (pixel[:, None] * probability * one_hot).sum(dim=0)
    size = (pixel[:, None] * (probability + one_hot)).sum(dim=0)
    present = (one_hot.sum(dim=0) > 0).to(damage.dtype)
    dice = ((1 - (2 * overlap + 1e-3) / (size + 1e-3)) * present).sum() / present.sum().clamp_min(1)
    return entropy + dice


def total_loss(logits: Tensor, labels: Tensor, weights: Tensor, importance: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Return the loss to minimise and its parts by name; two classes have no damage term."""
    logits = logits.float()
    localisation = localisation_loss(logits, labels)
    if logits.shape[1] == 2:
        return localisation, {"localisation": float(localisation.detach())}
    damage = damage_loss(logits, labels, weights, importance)
    parts = torch.stack([localisation, damage]).detach().tolist()
    return localisation + damage, dict(zip(("localisation", "damage"), parts, strict=True))
