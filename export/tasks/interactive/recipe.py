"""Recipes of the interactive networks: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from export.tasks.interactive.samples import Draw, Geometry
from export.training.choice import choose
from export.training.schedule import Schedule


@dataclass(frozen=True)
class ClickRecipe:
    """How a network is trained. Training ends after `steps` or `minutes`, whichever comes first.

    Attributes:
        network: the architecture: iog, iog_refine or dextr.
        name: the recipe's own name.
        width: multiplier on the paper's channel counts.
        depths: the backbone: resnet101 or resnet26.
        geometry: of the crops.
        draw: where samples come from.
        steps: the most steps.
        learning_rate: of AdamW; the peak, where the schedule has one.
        minutes: the longest time, in minutes of training and evaluation; None sets no limit.
        weight_decay: decoupled.
        schedule: see `learning_rate`.
        average: decay per step of the moving average of weights that is evaluated and kept.
        rounds: the most further clicks that a sample is corrected with, for networks that take any.
        threshold: of the probability in the answer.
    """

    network: str
    name: str
    width: float
    depths: str
    geometry: Geometry
    draw: Draw
    steps: int
    learning_rate: float
    minutes: float | None = None
    weight_decay: float = 1e-2
    schedule: Schedule = "one-cycle"
    average: float = 0.998
    rounds: int = 0
    threshold: float = 0.5

    @property
    def prompt(self) -> str:
        """What the first clicks are: "iog", a box and a click inside, or "dextr", four extreme points."""
        return "dextr" if self.network == "dextr" else "iog"

    def hyperparameters(self) -> dict[str, str | int | float | bool]:
        """Return, as one flat dictionary, the choices that a card does not state elsewhere."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "average": self.average,
            "rounds": self.rounds,
            **vars(self.draw),
        }


_FULL = Geometry(size=512, margin=30, sigma=10, push=10)
_HALF = Geometry(size=256, margin=30, sigma=5, push=5)
_FULL_DEXTR = Geometry(size=512, margin=50, sigma=10, push=0)
_HALF_DEXTR = Geometry(size=256, margin=50, sigma=5, push=0)

_RECIPES = (
    # The papers' networks and crops, and the authors' 100 epochs of PASCAL (5,717 photographs, batch 5); the optimiser
    # is ours, as theirs is tuned to a loss summed over pixels.
    ClickRecipe("iog", "paper", 1.0, "resnet101", _FULL, Draw(5), 100 * 5717 // 5, 1e-4),
    ClickRecipe("iog_refine", "paper", 1.0, "resnet101", _FULL, Draw(5), 100 * 5717 // 5, 1e-4, rounds=3),
    ClickRecipe("dextr", "paper", 1.0, "resnet101", _FULL_DEXTR, Draw(5), 100 * 5717 // 5, 1e-4, threshold=0.8),
    # For one core. IOG and DEXTR are short because they are meant to start from what IOG's refinement has learnt.
    ClickRecipe("iog_refine", "demo", 0.375, "resnet26", _HALF, Draw(12), 20_000, 2e-3, minutes=65, rounds=3),
    ClickRecipe("iog", "demo", 0.375, "resnet26", _HALF, Draw(12), 20_000, 1e-3, minutes=14),
    ClickRecipe("dextr", "demo", 0.375, "resnet26", _HALF_DEXTR, Draw(12), 20_000, 1e-3, minutes=25),
)


def click_recipe(network: str, name: str) -> ClickRecipe:
    """Return a recipe by its network and name.

    Raises:
        ValueError: there is none.
    """
    return choose(_RECIPES, network, name)
