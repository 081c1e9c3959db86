"""Offsets of a damage network's logits, by which rare grades are named as often as they are met.

The longer a network learns, the surer it is of what it has seen, and grades that are rare there it names too seldom
elsewhere. An offset per grade mends that without another step. Few pairs choose the offsets, so what they are worth is
told by pairs that did not: each is graded with the offsets that all the others choose. Grades may be smoothed first.
Pixels choose, and what that is worth is told when roofs have voted, as the gateway has it: votes leap with single
roofs, and offsets that they choose one after the other end at the next best ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint, read_checkpoint, write_checkpoint
from export.errors import CheckpointError
from export.evaluation.command import of_split
from export.graphs.decision import CELL, odds_of, quantised_and_decided
from export.networks import architecture_of
from export.tasks.damage.data import LabelledPair, read_pairs
from export.tasks.damage.graph import network_inputs
from export.tasks.damage.metrics import CLASSES, DamageCounts
from export.tasks.damage.samples import load_tile
from export.tasks.damage.spec import ROOF_VOTE
from export.training.recipe import Hyperparameter
from gateway.vision.votes import voted

Offsets = tuple[float, ...]
Count = Callable[[int, Offsets, bool], NDArray[np.int64]]
"""Returns the confusion matrix of a pair, by number, under offsets, and perhaps after a vote; see `DamageCounts`."""

_NONE: Offsets = (0.0,) * len(CLASSES)
_TRIED = tuple(round(0.4 * step, 1) for step in range(-1, 11))
_GRADES = (2, 3, 4)
"""The label values whose offsets are chosen; that of "no damage" stays 0, and what is a building is hardly touched."""
_ROUNDS = 3
_EVERY = 2
"""Of the pixels along each side, those that are counted."""
_RULE = ROOF_VOTE.model_copy(update={"largest": ROOF_VOTE.largest // _EVERY})


def calibrate(
    checkpoint: Checkpoint, pairs: Sequence[LabelledPair], smoothing: int = 0
) -> tuple[Checkpoint, Mapping[str, DamageCounts]]:
    """Return a checkpoint with the offsets that grade `pairs` best, by the xView2 score, and what they are worth.

    Grades are told over squares of `smoothing` pixels; see `export.graphs.framing.Framing`. The counts
    are of every second pixel along each side: ``before`` without offsets, ``chosen`` with them, and ``others`` where
    each pair is graded with the offsets that are best for all pairs but it. Offsets that the checkpoint has already are
    left out of account.

    Raises:
        CheckpointError: the network is of other inputs than two images, or does not tell damage; `smoothing` is neither
            0 nor an odd multiple of the cells that it is reckoned in, or the network sees images reduced.
    """
    if smoothing < 0 or (smoothing and smoothing % (2 * CELL) != CELL):
        raise CheckpointError(f"grades are smoothed over an odd multiple of {CELL} pixels, not over {smoothing}")
    if smoothing and checkpoint.reduction > 1:
        raise CheckpointError("grades are smoothed where a network sees images at their full size alone")
    checkpoint = replace(checkpoint, smoothing=smoothing)
    count = _counter(checkpoint, pairs)
    numbers = range(len(pairs))
    chosen = _best(count, numbers)
    others = [_best(count, [other for other in numbers if other != number]) for number in numbers]
    counts = {
        "before": _summed(count, dict.fromkeys(numbers, _NONE), voting=True),
        "chosen": _summed(count, dict.fromkeys(numbers, chosen), voting=True),
        "others": _summed(count, dict(zip(numbers, others, strict=True)), voting=True),
    }
    words: dict[str, Hyperparameter] = {
        "offsets": " ".join(map(str, chosen)),
        "offsets_chosen_on": f"{len(pairs)} pairs, by the xView2 score",
        **({"smoothing": smoothing} if smoothing else {}),
    }
    hyperparameters = {**checkpoint.hyperparameters, **words}
    return replace(checkpoint, offsets=chosen, hyperparameters=hyperparameters), counts


def _counter(checkpoint: Checkpoint, pairs: Sequence[LabelledPair]) -> Count:
    if architecture_of(checkpoint.architecture).inputs != ("pre", "post"):
        raise CheckpointError(f"a {checkpoint.architecture} does not grade damage by two images")
    network = checkpoint.network()
    odds, targets = zip(*(_odds(checkpoint, network, pair) for pair in pairs), strict=True)

    @cache
    def count(number: int, offsets: Offsets, voting: bool) -> NDArray[np.int64]:
        counts = DamageCounts()
        shifted = odds[number] * torch.tensor(offsets).exp().view(1, -1, 1, 1)
        labels = quantised_and_decided(shifted, checkpoint.threshold)[0][0].numpy()
        counts.add(voted(labels, _RULE)[0] if voting else labels, targets[number])
        return counts.matrix

    return count


@torch.inference_mode()
def _odds(checkpoint: Checkpoint, network: nn.Module, pair: LabelledPair) -> tuple[Tensor, NDArray[np.uint8]]:
    tile = load_tile(pair, checkpoint.reduction)
    images = {"pre": tile.pre[None], "post": tile.post[None]}
    logits = network(*network_inputs(images, checkpoint.architecture, checkpoint.framing, "cpu"))
    if logits.shape[1] != len(CLASSES):
        raise CheckpointError(f"a {checkpoint.architecture} does not tell damage")
    odds = odds_of(logits.float(), checkpoint.smoothing)[..., ::_EVERY, ::_EVERY]
    return odds, tile.labels[::_EVERY, ::_EVERY]


def _best(count: Count, numbers: Sequence[int]) -> Offsets:
    """Return the best offsets of some pairs, one grade after the other, until a round changes nothing."""
    best = _NONE
    for _ in range(_ROUNDS):
        former = best
        for grade in _GRADES:
            tried = [(*best[:grade], value, *best[grade + 1 :]) for value in _TRIED]
            best = max(tried, key=lambda offsets: _summed(count, {number: offsets for number in numbers}).score)
        if best == former:
            break
    return best


def _summed(count: Count, chosen: Mapping[int, Offsets], *, voting: bool = False) -> DamageCounts:
    return DamageCounts(matrix=np.sum([count(number, offsets, voting) for number, offsets in chosen.items()], axis=0))


def add_command(commands: Any) -> None:
    """Add `calibrate` to the commands."""
    command = commands.add_parser("calibrate", help="choose by labelled pairs how readily a network names each grade")
    command.set_defaults(command=_command)
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--data", type=Path, required=True, help="xBD folder")
    command.add_argument("--split", default="val")
    command.add_argument(
        "--smoothing", type=int, default=0, help="side of the squares over which grades are told, in pixels"
    )
    command.add_argument("--out", type=Path, required=True, help="the calibrated checkpoint")


def _command(options: argparse.Namespace) -> int:
    pairs = of_split(read_pairs(options.data), options.split, options.data, "pair")
    calibrated, counts = calibrate(read_checkpoint(options.checkpoint), pairs, options.smoothing)
    write_checkpoint(calibrated, options.out)
    print(f"offsets: {calibrated.hyperparameters['offsets']}")
    words = {"before": "without", "chosen": "with", "others": "with those that the other pairs choose"}
    for key, each in counts.items():
        grades = " / ".join(f"{f1:.3f}" for f1 in each.damage_f1)
        print(
            f"{words[key]}: localisation F1 {each.localisation.f1:.3f}, damage F1 {grades}, "
            f"harmonic mean {each.damage_harmonic:.3f}, xView2 score {each.score:.3f}"
        )
    return 0
