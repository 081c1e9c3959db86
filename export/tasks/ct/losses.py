"""What networks of CT are trained to make small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from export.tasks.ct.edges import edge_guided_rmi


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts; the defaults are CogSeg's.

    Attributes:
        entropy: cross-entropy of the labels.
        sharpness: mean squared error of the super-resolution.
        agreement: sum over the decoders' four stages of the mean absolute difference between both decoders.
        edges: edge-guided regional mutual information; see `edges`.
        dice: soft Dice distance of lesions, which is not CogSeg's; see `lesion_dice`.
        classes: of the classes in the cross-entropy.
        pool: of `edge_guided_rmi`.
        agreeing: how many of the decoders' stages have to agree, counted from the finest; fewer are the paper's
            ablation.
        guided: whether mutual information is counted once more around edges; without, it is the paper's ablation.
    """

    entropy: float = 1.0
    sharpness: float = 0.5
    agreement: float = 0.5
    edges: float = 0.5
    dice: float = 0.0
    classes: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    pool: int = 1
    agreeing: int = 4
    guided: bool = True


def label_terms(logits: Tensor, labels: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """Return the weighted terms that any network of labels has, by name.

    Args:
        logits: (N, C, s, s); interpolated to the labels' size as the served graph does.
        labels: integers (N, S, S).
        weights: of terms and classes; terms of weight 0 are left out.
    """
    logits, labels = at_size(logits.float(), labels.shape[-1]), labels.long()
    classes = torch.tensor(weights.classes, device=logits.device)
    terms = {"entropy": weights.entropy * F.cross_entropy(logits, labels, classes)}
    if weights.dice:
        terms["dice"] = weights.dice * lesion_dice(logits, labels)
    return terms


def supervised_terms(heads: Sequence[Tensor], labels: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """Return the terms of a network that is supervised at several depths: those of its heads, summed."""
    each = [label_terms(logits, labels, weights) for logits in heads]
    return {name: torch.stack([terms[name] for terms in each]).sum() for name in each[0]}


def cogseg_terms(
    segmentation: Sequence[Tensor], sharpened: Sequence[Tensor], labels: Tensor, fine: Tensor, weights: LossWeights
) -> dict[str, Tensor]:
    """Return the weighted terms of CogSeg's loss by name.

    Args:
        segmentation: what its branch gives, see `Branch.forward`.
        sharpened: the same of the super-resolution.
        labels: integers (N, S, S).
        fine: (N, 1, S, S) in [0, 1], the slice that the super-resolution should give.
        weights: of terms and classes.
    """
    *stages, logits = segmentation
    *other_stages, image = sharpened
    finest = slice(-weights.agreeing, None)
    terms = {
        **label_terms(logits, labels, weights),
        "sharpness": weights.sharpness * F.mse_loss(image.float(), fine),
        "agreement": weights.agreement * agreement(stages[finest], other_stages[finest]),
    }
    if weights.edges:
        unexplained = edge_guided_rmi(logits.float(), labels, weights.pool, guided=weights.guided)
        terms["edges"] = weights.edges * unexplained.float()
    return terms


def agreement(stages: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return the sum over the stages of the mean absolute difference between two decoders' features."""
    return torch.stack([F.l1_loss(one.float(), other.float()) for one, other in zip(stages, others, strict=True)]).sum()


def lesion_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 − soft Dice, averaged over "any lesion" and every class of lesion that the batch holds.

    Args:
        logits: (N, C, H, W); channel 0 is the background.
        labels: integers (N, H, W).
    """
    lesions = logits.softmax(dim=1)[:, 1:]
    truth = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:].to(lesions.dtype)
    lesions, truth = (torch.cat([each.sum(dim=1, keepdim=True), each], dim=1) for each in (lesions, truth))
    overlap, size = (lesions * truth).sum(dim=(0, 2, 3)), (lesions + truth).sum(dim=(0, 2, 3))
    held = truth.sum(dim=(0, 2, 3)) > 0
    held[0] = True
    return (1 - (2 * overlap + 1) / (size + 1))[held].mean()


def at_size(logits: Tensor, size: int) -> Tensor:
    """Return logits (N, C, s, s) as (N, C, size, size): bilinear, where they are not of that size already."""
    if logits.shape[-1] == size:
        return logits
    return F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)
