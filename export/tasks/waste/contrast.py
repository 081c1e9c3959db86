"""ReCo (Liu et al., 2022): vectors of uncertain pixels are drawn to their class and away from classes like it, and
photographs without labels take those of a teacher, mixed class by class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.reco import ReCo
from export.tasks.waste.graph import at_size
from export.tasks.waste.losses import LossWeights, terms
from export.tasks.waste.samples import IGNORED

QUERIES, NEGATIVES = 256, 512
"""The most pixels of a class that are asked about, and how many others each is held against."""

_TEMPERATURE = 0.5
_SURE, _FAIRLY_SURE = 0.97, 0.7


def contrast_terms(
    network: ReCo, teacher: nn.Module, images: Tensor, labels: Tensor, weights: LossWeights
) -> dict[str, Tensor]:
    """Return the terms of the loss by name.

    Args:
        network: in training.
        teacher: the running average of its weights, in evaluation mode.
        images: (N, 3, H, W), normalised; the photographs without labels come last.
        labels: integers (N, H, W); 255 counts for nothing, and a photograph without labels has nothing else.
        weights: of the terms that labels have.
    """
    bare = (labels == IGNORED).all(dim=2).all(dim=1)
    known, unknown = images[~bare], images[bare]
    guessed, sureness = _guessed(teacher, unknown)
    mixed, guessed, sureness = class_mix(unknown, guessed, sureness)
    logits, vectors = network.with_representation(torch.cat([known, mixed]))
    logits, vectors = logits.float(), vectors.float()
    found = terms((logits[: len(known)],), labels[~bare], weights)
    if len(unknown):
        sure = (sureness >= _SURE).float().mean(dim=(1, 2))
        entropy = F.cross_entropy(at_size(logits[len(known) :], guessed.shape[1:]), guessed, reduction="none")
        found["unlabelled"] = (sure[:, None, None] * entropy).mean()
    trusted = torch.cat([labels[~bare], guessed.where(sureness >= _FAIRLY_SURE, IGNORED)])
    coarse = F.interpolate(trusted[:, None].float(), size=vectors.shape[2:], mode="nearest")[:, 0].long()
    found["contrast"] = contrast(vectors, coarse, logits.detach().softmax(dim=1))
    return found


def _guessed(teacher: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return a teacher's labels of images and how sure it is of them, both (N, H, W)."""
    with torch.no_grad():
        likely = at_size(teacher(images).float(), images.shape[2:]).softmax(dim=1)
    sureness, labels = likely.max(dim=1)
    return labels, sureness


def class_mix(images: Tensor, labels: Tensor, sureness: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same with half of each photograph's classes pasted onto the next one.

    Args:
        images: (N, 3, H, W).
        labels: integers (N, H, W).
        sureness: (N, H, W).
    """
    mixed = []
    for index in range(len(images)):
        present = labels[index].unique()
        pasted = present[torch.randperm(len(present), device=labels.device)[: (len(present) + 1) // 2]]
        where, under = torch.isin(labels[index], pasted), (index + 1) % len(images)
        mixed.append([part[index].where(where, part[under]) for part in (images, labels, sureness)])
    if not mixed:
        return images, labels, sureness
    pictures, values, levels = (torch.stack(part) for part in zip(*mixed, strict=True))
    return pictures, values, levels


def contrast(vectors: Tensor, labels: Tensor, likely: Tensor) -> Tensor:
    """Return the regional contrast, the mean over the classes that are there; 0 where there are not two.

    Of each class, pixels that the network is not sure of are asked about. Each is held against the mean of its class
    and against pixels of others, more of those whose mean is like its own.

    Args:
        vectors: (N, D, h, w).
        labels: integers (N, h, w); 255 counts for nothing.
        likely: (N, K, h, w), probabilities.
    """
    flat, values = vectors.permute(0, 2, 3, 1).flatten(0, 2), labels.flatten()
    probabilities = likely.permute(0, 2, 3, 1).flatten(0, 2)
    present = [int(value) for value in values.unique() if value != IGNORED]
    if len(present) < 2:
        return vectors.sum() * 0
    members = {value: (values == value).nonzero().flatten() for value in present}
    with torch.no_grad():
        means = F.normalize(torch.stack([flat[members[value]].mean(dim=0) for value in present]), dim=1)
    losses = []
    for place, value in enumerate(present):
        own = members[value]
        hard = own[probabilities[own, value] < _SURE]
        if not len(hard):
            continue
        queries = flat[hard[torch.randint(len(hard), (min(QUERIES, len(hard)),), device=flat.device)]]
        others = [index for index in range(len(present)) if index != place]
        nearness = (means[others] @ means[place] / _TEMPERATURE).softmax(dim=0)
        chosen = nearness.multinomial(len(queries) * NEGATIVES, replacement=True)
        negatives = _drawn(chosen, [members[present[index]] for index in others])
        with torch.no_grad():
            against = F.normalize(flat[negatives].view(len(queries), NEGATIVES, -1), dim=2)
        queries = F.normalize(queries, dim=1)
        cosines = torch.cat([(queries @ means[place])[:, None], torch.einsum("qd,qnd->qn", queries, against)], dim=1)
        losses.append(F.cross_entropy(cosines / _TEMPERATURE, torch.zeros(len(queries), dtype=torch.long).to(labels)))
    return torch.stack(losses).mean() if losses else vectors.sum() * 0


def _drawn(chosen: Tensor, members: list[Tensor]) -> Tensor:
    """Return, for each chosen class, the index of one of its pixels at random."""
    sizes = torch.tensor([len(each) for each in members], device=chosen.device)
    starts = sizes.cumsum(0) - sizes
    within = (torch.rand(len(chosen), device=chosen.device) * sizes[chosen]).long().clamp(max=sizes[chosen] - 1)
    return torch.cat(members)[starts[chosen] + within]
