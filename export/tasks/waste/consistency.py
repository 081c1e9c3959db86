"""Cross-consistency (Ouali et al., 2020): on photographs without labels, decoders that see disturbed features are to
answer as the one that sees them as they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.cct import CCT, STRIDE
from export.tasks.waste.losses import LossWeights, terms
from export.tasks.waste.samples import IGNORED

_WEIGHT, _RAMP = 30.0, 0.1
"""Of the consistency, once it is reached; and the share of a run until it is."""

_DROPPED, _ERASED, _NOISE = 0.5, 0.4, 0.3
_LEAST, _MOST = 0.7, 0.9
_PROBE, _ADVERSARY = 0.1, 10.0


def consistency_terms(
    network: CCT, images: Tensor, labels: Tensor, weights: LossWeights, progress: float
) -> dict[str, Tensor]:
    """Return the terms of the loss by name.

    Args:
        network: in training.
        images: (N, 3, H, W), normalised.
        labels: integers (N, H, W); 255 counts for nothing, and a photograph without labels has nothing else.
        weights: of the terms that labels have.
        progress: of the run, in [0, 1].
    """
    bare = (labels == IGNORED).all(dim=2).all(dim=1)
    features = network.encoder(images)
    logits = network.main_decoder(features)
    found = terms((logits[~bare],), labels[~bare], weights)
    if bare.any():
        found["consistency"] = weight_at(progress) * inconsistency(network, features[bare], logits[bare])
    return found


def weight_at(progress: float) -> float:
    """Return the weight of the consistency at `progress` in [0, 1] of a run: it grows over the first tenth."""
    return _WEIGHT * math.exp(-5 * (1 - min(progress / _RAMP, 1.0)) ** 2)


def inconsistency(network: CCT, features: Tensor, logits: Tensor) -> Tensor:
    """Return the mean squared difference of probabilities between the auxiliary decoders and the main one.

    Args:
        network: whose decoders.
        features: (N, C, h, w) of photographs without labels.
        logits: (N, K, H, W) that the main decoder answers; nothing is learnt through them.
    """
    likely = logits.detach().float().softmax(dim=1)
    waste = F.interpolate(
        (likely.argmax(dim=1, keepdim=True) > 0).to(features.dtype), scale_factor=1 / STRIDE, mode="nearest"
    )
    differences = []
    for kind, decoder in network.others():
        answer = decoder(disturbed(kind, features, waste, decoder, likely)).float().softmax(dim=1)
        differences.append(F.mse_loss(answer, likely))
    return torch.stack(differences).mean()


def disturbed(kind: str, features: Tensor, waste: Tensor, decoder: nn.Module, likely: Tensor) -> Tensor:
    """Return features (N, C, h, w) as a decoder is to see them.

    Args:
        kind: a key of `export.networks.cct.DECODERS`.
        features: as they are.
        waste: (N, 1, h, w), 1 where something but background is found.
        decoder: the one that is to see them.
        likely: (N, K, H, W) probabilities of the main decoder.
    """
    if kind == "drop":
        return F.dropout2d(features, _DROPPED)
    if kind == "cut":
        return features * _without_a_piece(waste)
    if kind == "context":
        return features * waste
    if kind == "object":
        return features * (1 - waste)
    if kind == "feature-drop":
        strength = features.mean(dim=1, keepdim=True)
        bound = strength.amax(dim=(2, 3), keepdim=True) * torch.empty(1, device=features.device).uniform_(_LEAST, _MOST)
        return features * (strength < bound)
    if kind == "noise":
        return features * (1 + torch.empty_like(features[:1]).uniform_(-_NOISE, _NOISE))
    return features + _adversary(features, decoder, likely)


def _without_a_piece(waste: Tensor) -> Tensor:
    """Return (N, 1, h, w), 0 within a random piece of the box around what is found on each photograph, else 1."""
    kept = torch.ones_like(waste)
    for found, mask in zip(waste[:, 0], kept[:, 0], strict=True):
        rows, columns = (found.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
        if not rows:
            continue
        piece = []
        for places in (rows, columns):
            side = places[-1] - places[0] + 1
            erased = max(1, round(_ERASED * side))
            start = places[0] + int(torch.randint(side - erased + 1, ()))
            piece.append(slice(start, start + erased))
        mask[piece[0], piece[1]] = 0
    return kept


def _adversary(features: Tensor, decoder: nn.Module, likely: Tensor) -> Tensor:
    """Return the change of features, of a fixed length, that moves the decoder's answer most (virtual adversary)."""
    fixed = features.detach().float()
    probe = (_PROBE * _unit(torch.rand_like(fixed) - 0.5)).requires_grad_()
    with torch.enable_grad(), torch.autocast(features.device.type, enabled=False):
        moved = F.kl_div(decoder(fixed + probe).log_softmax(dim=1), likely, reduction="batchmean")
        [direction] = torch.autograd.grad(moved, probe)
    return (_ADVERSARY * _unit(direction)).to(features.dtype)


def _unit(change: Tensor) -> Tensor:
    unit: Tensor = change / (change.flatten(1).norm(dim=1).view(-1, 1, 1, 1) + 1e-8)
    return unit
