"""What a recipe of any task says of the run itself, and how one is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.registry import task_of
from export.training.schedule import Schedule

Hyperparameter = str | int | float | bool

_MOMENTUM = 0.9


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice of a training run in one frozen value. Training ends after `steps` or `minutes`, whichever is first.

    Attributes:
        network: the architecture.
        name: the recipe's own name.
        width: multiplier on the paper's channel counts.
        steps: the most steps.
        learning_rate: of AdamW; the peak, where the schedule has one.
        minutes: the longest time, in minutes of training and evaluation; None sets no limit.
        weight_decay: decoupled; 0 is plain Adam.
        momentum: decay per step of Adam's running mean of gradients; networks that learn against each other want less.
        schedule: see `learning_rate`.
        average: decay per step of the moving average of weights that is evaluated and kept; 0 keeps the last weights.
        encoder_rate: of a public encoder's weights, as a share of the learning rate: they know much already.
        pretrained: whether the public encoder begins with its ImageNet weights.
        fixed_levels: how many of the public encoder's levels keep those: a step then takes half as long.
    """

    network: str
    name: str
    width: float
    steps: int
    learning_rate: float
    minutes: float | None = None
    weight_decay: float = 0.0
    momentum: float = _MOMENTUM
    schedule: Schedule = "constant"
    average: float = 0.0
    encoder_rate: float = 1.0
    pretrained: bool = False
    fixed_levels: int = 0

    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Return, as one flat dictionary, the choices that a card does not state elsewhere."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "average": self.average,
            **({"momentum": self.momentum} if self.momentum != _MOMENTUM else {}),
            **({"encoder_rate": self.encoder_rate, "pretrained": True} if self.pretrained else {}),
            **({"fixed_levels": self.fixed_levels} if self.fixed_levels else {}),
            **self.choices(),
        }

    def choices(self) -> Mapping[str, Hyperparameter]:
        """Return those that are the task's own."""
        return {}

    def served(self) -> Mapping[str, Any]:
        """Return what the recipe fixes of the served graph, by the fields of `Checkpoint`."""
        return {}


@dataclass(frozen=True)
class RunOptions:
    """What any run is told beside its recipe.

    Attributes:
        minutes: replaces the recipe's limit of time.
        device: ``cpu`` or ``cuda``.
        seed: of the first weights and of every sample.
        resume: go on from ``last.pt`` where there is one; else start anew.
        encoder: file of the public encoder's weights, for recipes that begin with them; None: the installed package's.
        workers: processes that make batches; 0: a thread, which keeps up where the network learns on a processor.
    """

    minutes: float | None = None
    device: str = "cpu"
    seed: int = 0
    resume: bool = True
    encoder: Path | None = None
    workers: int = 0


def recipe_of(network: str, name: str) -> Any:
    """Return the recipe of that network and name, of its task's class.

    Raises:
        CheckpointError: no task has such a network.
        ValueError: it has no such recipe.
    """
    recipes = task_of(network).module("recipe").RECIPES
    for candidate in recipes:
        if (candidate.network, candidate.name) == (network, name):
            return candidate
    known = ", ".join(f"{candidate.network} {candidate.name}" for candidate in recipes)
    raise ValueError(f"no recipe {name!r} for {network!r}; known: {known}")
