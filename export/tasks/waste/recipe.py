"""Recipes of the networks of waste: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from export.tasks.waste.losses import LossWeights
from export.tasks.waste.samples import Draw, Light
from export.training.recipe import Hyperparameter, Recipe
from export.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class WasteRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        depths: of FANet's backbone; None: the paper's.
        size: side of the served tiles, and what the shorter side of a photograph is scaled to, in pixels.
        draw: how samples are made.
        loss: the weights of its terms.
        normalised: whether the FCN learns with batch normalisation that is folded away at the end; see `normed`.
    """

    depths: str | None
    size: int
    draw: Draw
    loss: LossWeights
    schedule: Schedule = "poly"
    normalised: bool = False

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        draw = {name: value for name, value in vars(self.draw).items() if name != "light"}
        return {
            "normalised": self.normalised,
            "loss_auxiliary": self.loss.auxiliary if self.network == "fanet" else 0.0,
            "loss_dice": self.loss.dice,
            "class_weights": " ".join(map(str, self.loss.classes)) or "all alike",
            **draw,
            **vars(self.draw.light),
        }

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"depths": self.depths or "", "size": self.size}


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

# Other days and cameras: colours say of which kind a bag is, so that hue stays near, and all else is changed more.
_FAR_DRAW = replace(
    _DEMO_DRAW,
    crop=192,
    smallest=0.5,
    largest=2.0,
    turn=12.0,
    light=Light(brightness=40, contrast=0.6, saturation=0.6, hue=12, sensor=0.7),
)

RECIPES = (
    # FANet's published configuration: 40,000 steps of two 512² crops, AdamW at 9e-5 with a decay of 0.001 (0.05 is
    # that of its pretraining on ImageNet), poly with the power 0.95, 0.5 for the second head.
    WasteRecipe(
        network="fanet",
        name="paper",
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
        network="waste_fcn",
        name="paper",
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
            network=network,
            name="demo",
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
    WasteRecipe(
        network="photo_lite0",
        name="demo",
        width=1.0,
        depths=None,
        size=256,
        draw=_FAR_DRAW,
        loss=LossWeights(dice=0.5, classes=(1.0, 1.5, 1.25)),
        steps=20_000,
        learning_rate=1.5e-3,
        minutes=60,
        weight_decay=2e-2,
        schedule="one-cycle",
        average=0.99,
        encoder_rate=0.4,
        pretrained=True,
        fixed_levels=3,
    ),
)
