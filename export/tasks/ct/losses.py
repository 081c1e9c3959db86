"""What networks of CT are trained to make small.

One term of CogSeg's looks at neighbouring pixels together, edge-guided regional mutual information. Regional mutual
information (Zhao et al., 2019) takes each pixel with its neighbours for one vector of R² values and asks how much of
the labels' vectors the predicted ones leave unexplained. CogSeg asks so of the whole slice with R = 3, and once more,
with R = 5, of the windows around the edges of what is predicted. Covariances are computed in float64: in float32 those
of a rare class, nearly singular, fail to factorise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SLICE_RADIUS = 3
"""Side R of the regions that cover the slice."""

EDGE_RADIUS = 5
"""Side R of the regions around edges."""

_EPSILON = 5e-4
"""Added to the diagonals of covariances, which are sums over regions, not means, as the authors of RMI take them."""


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


def edge_guided_rmi(logits: Tensor, labels: Tensor, pool: int, *, guided: bool = True) -> Tensor:
    """Return the loss, the sum over classes of both terms, averaged over the slices.

    Args:
        logits: (N, C, H, W).
        labels: integers (N, H, W).
        pool: labels and probabilities are first averaged over this many pixels squared; 1 takes them as they are.
        guided: whether the windows around edges count; else it is plain regional mutual information.
    """
    probability = logits.softmax(dim=1)
    truth = F.one_hot(labels.long(), logits.shape[1]).permute(0, 3, 1, 2).to(logits.dtype)
    if pool > 1:
        probability, truth = F.avg_pool2d(probability, pool), F.avg_pool2d(truth, pool)
    probability, truth = probability.double(), truth.double()
    whole = unexplained(regions(truth, SLICE_RADIUS), regions(probability, SLICE_RADIUS)).sum(dim=1)
    if not guided:
        plain: Tensor = whole.mean()
        return plain
    at_edges = [
        unexplained(windows(each, where), windows(other, where)).sum()
        for each, other, where in zip(truth, probability, predicted_edges(probability), strict=True)
    ]
    loss: Tensor = (whole + torch.stack(at_edges)).mean()
    return loss


def predicted_edges(probability: Tensor) -> Tensor:
    """Return where the likeliest class of a pixel is not that of each of its four neighbours: bool (N, H, W).

    Args:
        probability: (N, C, H, W).
    """
    labels = probability.argmax(dim=1)
    edges = torch.zeros_like(labels, dtype=torch.bool)
    across, down = labels[:, :, 1:] != labels[:, :, :-1], labels[:, 1:] != labels[:, :-1]
    edges[:, :, 1:] |= across
    edges[:, :, :-1] |= across
    edges[:, 1:] |= down
    edges[:, :-1] |= down
    return edges


def regions(maps: Tensor, radius: int) -> Tensor:
    """Return every region of `radius` pixels a side as a vector: (N, C, radius², regions) of maps (N, C, H, W)."""
    slices, classes = maps.shape[:2]
    unfolded: Tensor = F.unfold(maps.flatten(0, 1)[:, None], radius).unflatten(0, (slices, classes))
    return unfolded


def windows(maps: Tensor, where: Tensor) -> Tensor:
    """Return the regions of `EDGE_RADIUS` pixels a side around some pixels: (C, EDGE_RADIUS², windows).

    Pixels so near the border that their window would leave the maps are left out.

    Args:
        maps: (C, H, W).
        where: bool (H, W), the windows' centres.
    """
    margin, width = EDGE_RADIUS // 2, maps.shape[-1]
    first = where[margin:-margin, margin:-margin].nonzero()
    offsets = torch.cartesian_prod(*2 * [torch.arange(EDGE_RADIUS, device=maps.device)])
    rows, columns = (first[:, axis] + offsets[:, axis, None] for axis in (0, 1))
    return maps.flatten(1)[:, rows * width + columns]


def unexplained(truth: Tensor, probability: Tensor) -> Tensor:
    """Return ½ log det of the covariance of labels given the prediction, per value of a vector: (…).

    Its negative bounds their mutual information from below, up to a constant. It has no lowest value but that of
    ½ log 5e-4, where every vector of labels follows linearly from the predicted one, or is the same.

    Args:
        truth: (…, d, n), n vectors of d values.
        probability: (…, d, n).
    """
    truth, probability = (each - each.mean(dim=-1, keepdim=True) for each in (truth, probability))
    size = truth.shape[-2]
    ridge = _EPSILON * torch.eye(size, dtype=truth.dtype, device=truth.device)
    shared = truth @ probability.mT
    factor = torch.linalg.cholesky(probability @ probability.mT + ridge)
    left = truth @ truth.mT - shared @ torch.cholesky_solve(shared.mT, factor)
    diagonal = torch.linalg.cholesky(left + ridge).diagonal(dim1=-2, dim2=-1)
    # log det is twice the sum of the factor's logarithms.
    half_log_det: Tensor = diagonal.log().sum(dim=-1)
    return half_log_det / size
