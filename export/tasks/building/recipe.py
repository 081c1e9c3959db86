"""Recipes of networks that grade one building: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from export.tasks.building.samples import Draw
from export.training.choice import choose
from export.training.schedule import Schedule


@dataclass(frozen=True)
class CropRecipe:
    """How a network is trained. Training ends after `steps` or `minutes`, whichever comes first.

    Attributes:
        network: the architecture.
        name: the recipe's own name.
        width: multiplier on the paper's channel counts.
        draw: which samples a step sees.
        steps: the most steps; replaced by those of `epochs`, where that is given.
        depths: name of the backbone.
        learning_rate: of AdamW; the peak, where the schedule has one.
        epochs: how often a run sees as many samples as there are buildings.
        minutes: the longest time, in minutes of training and evaluation; None sets no limit.
        weight_decay: decoupled; 0 is plain Adam.
        schedule: see `learning_rate`.
        average: decay per step of the moving average of weights that is evaluated and kept; 0 keeps the last weights.
        smoothing: share of a target that is spread over all grades.
        scenes: how many drawn scenes are learnt from where there are no photographs.
    """

    network: str
    name: str
    width: float
    draw: Draw
    steps: int
    learning_rate: float
    depths: str = "resnet50"
    epochs: int | None = None
    minutes: float | None = None
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    average: float = 0.0
    smoothing: float = 0.0
    scenes: int = 40

    def hyperparameters(self) -> dict[str, str | int | float | bool]:
        """Return, as one flat dictionary, the choices that a card does not state elsewhere."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "average": self.average,
            "smoothing": self.smoothing,
            **vars(self.draw),
        }


_RECIPES = (
    # Stated by the paper: cross-entropy, Adam at 1e-3, batch 32, 10 epochs, ImageNet's weights to begin with, which we
    # do not have. The depth, the crop and its size are not stated, nor are sampling and augmentation.
    CropRecipe("cnn", "paper", 1.0, Draw(224, 32, balanced=0.0), 0, 1e-3, epochs=10),
    CropRecipe(
        "cnn",
        "demo",
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


def crop_recipe(network: str, name: str) -> CropRecipe:
    """Return a recipe by its network and name.

    Raises:
        ValueError: there is none.
    """
    return choose(_RECIPES, network, name)
