"""Edge-guided regional mutual information, the term of CogSeg's loss that looks at neighbouring pixels together.

Regional mutual information (Zhao et al., 2019) takes each pixel with its neighbours for one vector of R² values and
asks how much of the labels' vectors the predicted ones leave unexplained. CogSeg asks so of the whole slice with R = 3,
and once more, with R = 5, of the windows around the edges of what is predicted.

Covariances are computed in float64: in float32 those of a rare class, nearly singular, fail to factorise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SLICE_RADIUS = 3
"""Side R of the regions that cover the slice."""

EDGE_RADIUS = 5
"""Side R of the regions around edges."""

_EPSILON = 5e-4
"""Added to the diagonals of covariances, which are sums over regions, not means, as the authors of RMI take them."""


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
