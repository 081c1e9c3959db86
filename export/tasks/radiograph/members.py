"""Networks that were learnt apart become one that answers with the mean of their logits.

What a network learns of few films depends on its seed; the mean of several depends on it less.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.checkpoints.files import Checkpoint, read_checkpoint, write_checkpoint
from export.errors import CheckpointError
from export.networks import architecture_of

_ALONE = "1"
_OWN = ("state_dict", "steps", "seconds", "seed")
"""What may differ from member to member."""


def joined(members: Sequence[Checkpoint]) -> Checkpoint:
    """Return one checkpoint of several plain networks, learnt by one recipe with different seeds.

    Raises:
        CheckpointError: they are of another network, too many or too few, not alike, or one is there twice.
    """
    first = members[0]
    architecture = architecture_of("film_plain")
    if any((each.architecture, each.depths) != (architecture.name, _ALONE) for each in members):
        raise CheckpointError(f"single networks {architecture.name} alone can be joined")
    if not 1 < len(members) <= len(architecture.members):
        raise CheckpointError(f"2 to {len(architecture.members)} networks can be joined, not {len(members)}")
    own = {name: getattr(first, name) for name in _OWN}
    if any(replace(each, **own) != first for each in members):
        raise CheckpointError("the networks differ in more than weights and seed")
    if len({each.seed for each in members}) < len(members):
        raise CheckpointError("two of the networks are of one seed: each would count twice")
    seeds = " ".join(str(each.seed) for each in members)
    return replace(
        first,
        state_dict=joined_weights([each.state_dict for each in members]),
        depths=str(len(members)),
        steps=sum(each.steps for each in members),
        seconds=sum(each.seconds for each in members),
        hyperparameters={**first.hyperparameters, "seeds": seeds},
    )


def joined_weights(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the weights of a network whose logits are the mean of those of its members.

    Args:
        weights: those of one network each, all of one width.
    """
    together = {}
    for name, first in weights[0].items():
        each = [member[name] for member in weights]
        if name == "head.dense.weight":
            together[name] = torch.block_diag(*each)
        elif name == "head.dense_1.weight":
            together[name] = torch.cat(each, dim=1) / len(each)
        elif name == "head.dense_1.bias":
            together[name] = torch.stack(each).mean(dim=0)
        else:
            together[name] = torch.cat(each) if first.dim() else first
    return together


def add_command(commands: Any) -> None:
    """Add ``join`` to the commands of `python -m export`."""
    command = commands.add_parser("join", help="make one network of plain ones of radiographs that were learnt apart")
    command.set_defaults(command=_join)
    command.add_argument("checkpoint", type=Path, nargs="+", help="of film_plain, each of another seed")
    command.add_argument("--out", type=Path, required=True, help="the joined checkpoint")


def _join(options: argparse.Namespace) -> int:
    write_checkpoint(joined([read_checkpoint(path) for path in options.checkpoint]), options.out)
    print(options.out)
    return 0
