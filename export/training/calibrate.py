"""The last touch on a damage network: class biases that balance what it says, measured on the training tiles.

Rare classes are learnt less well than frequent ones, and a network unsure of them rarely says them, while the harmonic
mean of xView2 is ruled by the class told worst. A constant added to a class's logit moves that balance (Menon et al.,
"Long-tail learning via logit adjustment", 2021). The constants go into the bias of the head: nothing changes in the
graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.framing import Framing
from export.training.inference import network_inputs
from export.training.metrics import harmonic_mean
from export.training.samples import Tile
from export.training.xbd import UNCLASSIFIED

Floats = NDArray[np.float32]

_STEPS = (1.0, 0.5, 0.25, 0.125)
_FURTHEST = 2.0
_GRID = np.linspace(-_FURTHEST, _FURTHEST, 161)


def balance(network: nn.Module, architecture: str, tiles: Sequence[Tile], framing: Framing, device: str) -> Floats:
    """Change the bias of the network's head in place and return what was added to each class, (C,), 0 for background.

    The damage classes are shifted against each other for the best harmonic mean of F1, then together for the best
    localisation F1 at the framing's threshold (0.5 where it has none); a network of two classes has only the latter.
    """
    answers = [(_logits(network, architecture, tile, framing, device), tile.labels) for tile in tiles]
    threshold = 0.5 if framing.threshold is None else framing.threshold
    odds = np.log(threshold / (1 - threshold))
    found = [_buildings(logits, labels, odds) for logits, labels in answers]
    offsets = balanced_offsets(*(np.concatenate(part) for part in zip(*found, strict=True)))
    shift = located_shift((_margin(logits, offsets) - odds, labels > 0) for logits, labels in answers)
    added = np.concatenate([[0], offsets + shift]).astype(np.float32)
    with torch.no_grad():
        network.get_submodule("head").get_parameter("bias").add_(torch.from_numpy(added).to(device))
    return added


def balanced_offsets(logits: Floats, target: NDArray[np.int64], located: NDArray[np.bool_]) -> Floats:
    """Return the offsets (K,) of K damage classes whose argmax has the best harmonic mean of F1, by coordinate ascent.

    ``logits`` (P, K) and ``target`` (P), 0 to K - 1, are those of building pixels; pixels not ``located`` (P) count as
    missed whatever their damage. The first offset stays 0, for only differences matter.
    """
    classes = logits.shape[1]
    missed = np.bincount(target[~located], minlength=classes)
    logits, target = logits[located], target[located]

    def score(offsets: Floats) -> float:
        cells = target * classes + (logits + offsets).argmax(axis=1)
        matrix = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
        sizes = matrix.sum(axis=0) + matrix.sum(axis=1) + missed
        # A class that the tiles lack says nothing of its offset.
        return harmonic_mean([2 * matrix[k, k] / sizes[k] for k in range(classes) if sizes[k]] or [1.0])

    offsets = np.zeros(classes, np.float32)
    best = score(offsets)
    for step in _STEPS:
        improved = True
        while improved:
            improved = False
            for move in np.eye(classes, dtype=np.float32)[1:]:
                for candidate in (offsets + step * move, offsets - step * move):
                    value = score(candidate)
                    if value > best and np.abs(candidate).max() <= _FURTHEST:
                        offsets, best, improved = candidate, value, True
    return offsets


def located_shift(answers: Iterable[tuple[Floats, NDArray[np.bool_]]]) -> float:
    """Return the constant which, added to the margins, gives the best localisation F1 of "margin ≥ 0".

    Each answer holds margins and truth of one tile, in equal shapes.
    """
    edges = np.concatenate([[-np.inf], -_GRID[::-1], [np.inf]])
    counts = np.zeros((2, len(_GRID) + 1), np.int64)
    for margin, building in answers:
        counts += [np.histogram(margin[chosen], edges)[0] for chosen in (~building, building)]
    # A shift s accepts margins from -s on: the bins from the upper end down to there.
    false, true = counts[:, ::-1].cumsum(axis=1)[:, :-1]
    f1 = 2 * true / np.maximum(true + false + counts[1].sum(), 1)
    return float(_GRID[f1.argmax()])


def _logits(network: nn.Module, architecture: str, tile: Tile, framing: Framing, device: str) -> Floats:
    """Return the logits (C, H, W) of a whole tile."""
    images = {"pre": tile.pre[None], "post": tile.post[None]}
    with torch.inference_mode():
        logits = network(*network_inputs(images, architecture, framing, device))
    return np.asarray(logits[0].float().cpu().numpy(), np.float32)


def _margin(logits: Floats, offsets: Floats) -> Floats:
    """Return the log odds of "building" (H, W)."""
    return np.asarray(np.logaddexp.reduce(logits[1:] + offsets[:, None, None], axis=0) - logits[0], np.float32)


def _buildings(
    logits: Floats, labels: NDArray[np.uint8], odds: float
) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Return damage logits (P, K), damage 0 to K - 1 and "located" of the judged building pixels of one tile."""
    judged = (labels > 0) & (labels != UNCLASSIFIED)
    classes = len(logits) - 1
    located = _margin(logits, np.zeros(classes, np.float32)) >= odds
    # With one class of buildings every damage is that class.
    damage = np.minimum(labels[judged].astype(np.int64), classes) - 1
    return logits[1:, judged].T, damage, located[judged]
