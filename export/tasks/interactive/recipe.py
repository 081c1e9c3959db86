"""Recipes of the interactive networks: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from export.tasks.interactive.samples import Draw, Geometry
from export.training.recipe import Hyperparameter, Recipe
from export.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class ClickRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        depths: the backbone: resnet101 or resnet26; click_unet has another.
        geometry: of the crops.
        draw: where samples come from.
        rounds: the most further clicks that a sample is corrected with, for networks that take any.
        threshold: of the probability in the answer.
        promise: weight of the loss at the further clicks themselves, so that a click is obeyed.
    """

    depths: str
    geometry: Geometry
    draw: Draw
    weight_decay: float = 1e-2
    schedule: Schedule = "one-cycle"
    average: float = 0.998
    rounds: int = 0
    threshold: float = 0.5
    encoder_rate: float = 1.0
    promise: float = 0.0
    pretrained: bool = False

    @property
    def prompt(self) -> str:
        """What the first clicks are: "iog", a box and a click inside, or "dextr", four extreme points."""
        return "dextr" if self.network == "dextr" else "iog"

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        return {
            "rounds": self.rounds,
            "promise": self.promise,
            **vars(self.draw),
        }

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"depths": self.depths, "size": self.geometry.size, "threshold": self.threshold}


_FULL = Geometry(size=512, margin=30, sigma=10, push=10)
_HALF = Geometry(size=256, margin=30, sigma=5, push=5)
_FULL_DEXTR = Geometry(size=512, margin=50, sigma=10, push=0)
_HALF_DEXTR = Geometry(size=256, margin=50, sigma=5, push=0)

_QUARTER = Geometry(size=256, margin=0, sigma=5, push=0, share=0.25)
_BY_HAND = Draw(8, composed=0.2, strange=0.0, loose=True, balance=0.5)

RECIPES = (
    # The papers' networks and crops, and the authors' 100 epochs of PASCAL (5,717 photographs, batch 5); the optimiser
    # is ours, as theirs is tuned to a loss summed over pixels.
    ClickRecipe(
        network="iog",
        name="paper",
        width=1.0,
        depths="resnet101",
        geometry=_FULL,
        draw=Draw(5),
        steps=100 * 5717 // 5,
        learning_rate=1e-4,
    ),
    ClickRecipe(
        network="iog_refine",
        name="paper",
        width=1.0,
        depths="resnet101",
        geometry=_FULL,
        draw=Draw(5),
        steps=100 * 5717 // 5,
        learning_rate=1e-4,
        rounds=3,
    ),
    ClickRecipe(
        network="dextr",
        name="paper",
        width=1.0,
        depths="resnet101",
        geometry=_FULL_DEXTR,
        draw=Draw(5),
        steps=100 * 5717 // 5,
        learning_rate=1e-4,
        threshold=0.8,
    ),
    # For one core. IOG and DEXTR are short because they are meant to start from what IOG's refinement has learnt.
    ClickRecipe(
        network="iog_refine",
        name="demo",
        width=0.375,
        depths="resnet26",
        geometry=_HALF,
        draw=Draw(12),
        steps=20_000,
        learning_rate=2e-3,
        minutes=65,
        rounds=3,
    ),
    ClickRecipe(
        network="iog",
        name="demo",
        width=0.375,
        depths="resnet26",
        geometry=_HALF,
        draw=Draw(12),
        steps=20_000,
        learning_rate=1e-3,
        minutes=14,
    ),
    ClickRecipe(
        network="dextr",
        name="demo",
        width=0.375,
        depths="resnet26",
        geometry=_HALF_DEXTR,
        draw=Draw(12),
        steps=20_000,
        learning_rate=1e-3,
        minutes=25,
    ),
    # On the public encoder, for one core; boxes are as people draw them.
    ClickRecipe(
        network="click_unet",
        name="demo",
        width=1.0,
        depths="lite0",
        geometry=_QUARTER,
        draw=_BY_HAND,
        steps=20_000,
        learning_rate=1e-3,
        minutes=60,
        rounds=4,
        promise=0.5,
        encoder_rate=0.4,
        pretrained=True,
    ),
)
