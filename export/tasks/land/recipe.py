"""Recipes of the networks of land cover: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from export.tasks.land.samples import Draw
from export.training.recipe import Hyperparameter, Recipe
from export.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class LandRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        size: side of the served tiles, in pixels.
        draw: how samples are made.
        scenes: how many drawn scenes are mixed in.
        depths: of HRNet: which of its layouts.
        class_weights: of the five classes where a label names one of them; "anything but" counts 1.
    """

    size: int
    draw: Draw
    scenes: int
    depths: str | None = None
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    schedule: Schedule = "one-cycle"

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        return {"class_weights": " ".join(map(str, self.class_weights)), **vars(self.draw)}

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"size": self.size} | ({"depths": self.depths} if self.depths else {})


# It begins with the encoder of a `siamese_lite0` that has learnt already, or with the public weights.
_LITE0 = LandRecipe(
    network="land_lite0",
    name="demo",
    width=1.0,
    size=288,
    draw=Draw(8, 192, blank=0.15),
    scenes=60,
    steps=20_000,
    learning_rate=2e-3,
    minutes=40,
    weight_decay=1e-2,
    average=0.995,
    encoder_rate=0.4,
    pretrained=True,
    fixed_levels=2,
    class_weights=(1.0, 1.5, 2.0, 1.5, 1.0),
)

RECIPES = (
    # LoveDA's published configuration, as far as one network of ours can follow it: HRNetV2-W32, 15,000 steps of
    # sixteen 512² crops, poly with the power 0.9 there. It has SGD at 0.01 with a decay of 1e-4; the optimiser here is
    # AdamW, whose customary rate is taken.
    LandRecipe(
        network="land_hrnet",
        name="paper",
        width=1.0,
        depths="w32",
        size=512,
        draw=Draw(16, 512),
        scenes=60,
        steps=15_000,
        learning_rate=1e-3,
        weight_decay=1e-4,
        schedule="poly",
    ),
    LandRecipe(
        network="land_hrnet",
        name="demo",
        width=0.6,
        depths="w18-small",
        size=288,
        draw=Draw(8, 128),
        scenes=60,
        steps=20_000,
        learning_rate=3e-3,
        minutes=60,
        weight_decay=1e-2,
        average=0.995,
        class_weights=(1.0, 1.5, 2.0, 1.5, 1.0),
    ),
    _LITE0,
    # It goes on from what the recipe above has made.
    replace(_LITE0, name="further", learning_rate=6e-4, minutes=25),
)
