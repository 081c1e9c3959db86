"""Recipes of networks that find buildings as boxes: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from export.tasks.damage.boxes.samples import Draw
from export.tasks.damage.boxes.spec import THRESHOLD
from export.tasks.damage.recipe import XBD_TRAIN_PAIRS
from export.training.recipe import Hyperparameter, Recipe


@dataclass(frozen=True, kw_only=True)
class BoxRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        draw: which samples a step sees.
        depths: plain or depthwise convolutions, where the network has both.
        scenes: how many drawn scenes are mixed in.
        threshold: score from which on a box counts.
    """

    draw: Draw
    depths: str | None = None
    scenes: int = 0
    threshold: float = THRESHOLD

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        return dict(vars(self.draw))

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"threshold": self.threshold} | ({"depths": self.depths} if self.depths else {})


RECIPES = (
    # The paper names the network alone. YOLOX has 300 epochs, images of 640 pixels in mosaics, and SGD at 0.01 per 64
    # images; ours is AdamW on crops that are turned, scaled and lit anew.
    BoxRecipe(
        network="yolox",
        name="paper",
        width=1.0,
        depths="plain",
        draw=Draw(512, 16),
        steps=300 * XBD_TRAIN_PAIRS // 16,
        learning_rate=1e-3,
        weight_decay=5e-4,
        schedule="one-cycle",
        average=0.9998,
    ),
    BoxRecipe(
        network="yolox",
        name="demo",
        width=0.25,
        depths="plain",
        draw=Draw(384, 6, balance=0.3),
        steps=20_000,
        minutes=60,
        learning_rate=2e-3,
        weight_decay=1e-2,
        schedule="one-cycle",
        average=0.998,
        scenes=30,
    ),
    # It begins with the encoder of a `siamese_lite0` that has learnt already, or with the public weights.
    BoxRecipe(
        network="yolox_lite0",
        name="demo",
        width=1.0,
        draw=Draw(384, 6, balance=0.5),
        steps=20_000,
        minutes=40,
        learning_rate=2e-3,
        weight_decay=1e-2,
        schedule="one-cycle",
        average=0.998,
        encoder_rate=0.4,
        pretrained=True,
        fixed_levels=4,
        scenes=0,
    ),
)
