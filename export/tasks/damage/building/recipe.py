"""Recipes of networks that grade one building: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from export.tasks.damage.building.samples import Draw
from export.training.recipe import Hyperparameter, Recipe


@dataclass(frozen=True, kw_only=True)
class CropRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        draw: which samples a step sees.
        depths: name of the backbone.
        epochs: how often a run sees as many samples as there are buildings.
        smoothing: share of a target that is spread over all grades.
        scenes: how many drawn scenes are learnt from where there are no photographs.
    """

    draw: Draw
    depths: str = "resnet50"
    epochs: int | None = None
    smoothing: float = 0.0
    scenes: int = 40

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        return {
            "smoothing": self.smoothing,
            **vars(self.draw),
        }

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"depths": self.depths, "size": self.draw.size}


RECIPES = (
    # Stated by the paper: cross-entropy, Adam at 1e-3, batch 32, 10 epochs, ImageNet's weights to begin with, which we
    # do not have. The depth, the crop and its size are not stated, nor are sampling and augmentation.
    CropRecipe(
        network="cnn", name="paper", width=1.0, draw=Draw(224, 32, balanced=0.0), steps=0, learning_rate=1e-3, epochs=10
    ),
    CropRecipe(
        network="cnn",
        name="demo",
        width=0.16,
        depths="resnet26",
        draw=Draw(64, 48),
        steps=20_000,
        minutes=10,
        learning_rate=2e-3,
        weight_decay=5e-2,
        schedule="one-cycle",
        average=0.995,
        smoothing=0.05,
    ),
)
