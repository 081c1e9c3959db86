"""Recipes of the networks of waste: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from export.tasks.waste.losses import LossWeights
from export.tasks.waste.samples import Draw, Light
from export.training.choice import choose
from export.training.schedule import Schedule


@dataclass(frozen=True)
class WasteRecipe:
    """How a network is trained. Training ends after `steps` or `minutes`, whichever comes first.

    Attributes:
        network: the architecture: fanet or waste_fcn.
        name: the recipe's own name.
        width: multiplier on the paper's channel counts.
        depths: of FANet's backbone; None: the paper's.
        size: side of the served tiles, and what the shorter side of a photograph is scaled to, in pixels.
        draw: how samples are made.
        loss: the weights of its terms.
        steps: the most steps.
        learning_rate: of AdamW, at its peak.
        minutes: the longest time, in minutes of training and evaluation; None sets no limit.
        weight_decay: decoupled.
        schedule: see `learning_rate`.
        average: decay per step of the moving average of weights that is evaluated and kept; 0 keeps the last weights.
        normalised: whether the FCN learns with batch normalisation that is folded away at the end; see `normed`.
    """

    network: str
    name: str
    width: float
    depths: str | None
    size: int
    draw: Draw
    loss: LossWeights
    steps: int
    learning_rate: float
    minutes: float | None = None
    weight_decay: float = 0.0
    schedule: Schedule = "poly"
    average: float = 0.0
    normalised: bool = False

    def hyperparameters(self) -> dict[str, str | int | float | bool]:
        """Return, as one flat dictionary, the choices that a card does not state elsewhere."""
        draw = {name: value for name, value in vars(self.draw).items() if name != "light"}
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "average": self.average,
            "normalised": self.normalised,
            "loss_auxiliary": self.loss.auxiliary if self.network == "fanet" else 0.0,
            "loss_dice": self.loss.dice,
            "class_weights": " ".join(map(str, self.loss.classes)) or "all alike",
            **draw,
            **vars(self.draw.light),
        }


_DEMO_DRAW = Draw(
    batch=8,
    crop=256,
    smallest=0.6,
    largest=1.6,
    turn=8.0,
    letterboxed=0.1,
    mirrored=True,
    light=Light(brightness=32, contrast=0.7, saturation=0.7, hue=10),
)

_RECIPES = (
    # FANet's published configuration: 40,000 steps of two 512² crops, AdamW at 9e-5 with a decay of 0.001 (0.05 is
    # that of its pretraining on ImageNet), poly with the power 0.95, 0.5 for the second head.
    WasteRecipe(
        "fanet",
        "paper",
        width=1.0,
        depths="fanet_b",
        size=512,
        draw=Draw(2, 512),
        loss=LossWeights(auxiliary=0.5),
        steps=40_000,
        learning_rate=9e-5,
        weight_decay=1e-3,
    ),
    WasteRecipe(
        "waste_fcn",
        "paper",
        width=1.0,
        depths=None,
        size=512,
        draw=Draw(2, 512),
        loss=LossWeights(),
        steps=40_000,
        learning_rate=9e-5,
        weight_decay=1e-3,
    ),
    *(
        WasteRecipe(
            network,
            "demo",
            width=width,
            depths=depths,
            size=256,
            draw=_DEMO_DRAW,
            loss=LossWeights(dice=0.5, classes=(1.0, 1.5, 1.25)),
            steps=20_000,
            learning_rate=2e-3,
            minutes=25,
            weight_decay=2e-2,
            schedule="one-cycle",
            average=0.99,
            normalised=network == "waste_fcn",
        )
        for network, width, depths in (("fanet", 1 / 6, "fanet_s"), ("waste_fcn", 0.25, None))
    ),
)


def waste_recipe(network: str, name: str) -> WasteRecipe:
    """Return a recipe by its network and name.

    Raises:
        ValueError: there is none.
    """
    return choose(_RECIPES, network, name)
