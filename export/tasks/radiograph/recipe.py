"""Recipes of the networks of radiographs: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from export.tasks.radiograph.samples import Draw
from export.training.choice import choose
from export.training.schedule import Schedule


@dataclass(frozen=True)
class FilmRecipe:
    """How a network is trained. Training ends after `steps` or `minutes`, whichever comes first.

    Attributes:
        network: the architecture.
        name: the recipe's own name.
        width: multiplier on Keras' channel counts.
        depths: name of the share of Keras' repeated blocks.
        draw: how samples are made.
        steps: the most steps.
        learning_rate: of AdamW; the peak, where the schedule has one.
        minutes: the longest time, in minutes of training and evaluation; None sets no limit.
        weight_decay: decoupled; 0 is plain Adam.
        schedule: see `learning_rate`.
        average: decay per step of the moving average of weights that is evaluated and kept; 0 keeps the last weights.
        smoothing: how much of each label is given to both classes alike.
        activity: factor of the hidden layer's activity, |a| + a² summed over its units, in the loss.
        fixed: a backbone that is given at the start is not changed: the head alone learns.
        size: side of a film, in pixels.
    """

    network: str
    name: str
    width: float
    depths: str
    draw: Draw
    steps: int
    learning_rate: float
    minutes: float | None = None
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    average: float = 0.0
    smoothing: float = 0.0
    activity: float = 0.0
    fixed: bool = False
    size: int = 224

    def hyperparameters(self) -> dict[str, str | int | float | bool]:
        """Return, as one flat dictionary, the choices that a card does not state elsewhere."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "average": self.average,
            "smoothing": self.smoothing,
            "activity": self.activity,
            "fixed": self.fixed,
            **vars(self.draw),
        }


PAPER_FILMS = 755
"""Films in the paper's training split: 70 % of its 140 and 939."""

_PAPER_BATCH, _PAPER_EPOCHS = 32, 50

# Stated: SMOTE on the training films, jitter, the head and the factor of its activity, cross-entropy, weights of
# ImageNet; that fine-tuning is future work says that the backbone was fixed. Guessed: Adam at 1e-3, batch, epochs.
_PAPER = (
    FilmRecipe(
        network,
        "paper",
        width=1.0,
        depths="full",
        draw=Draw(_PAPER_BATCH, changes="jitter", smote=True),
        steps=_PAPER_EPOCHS * PAPER_FILMS // _PAPER_BATCH,
        learning_rate=1e-3,
        activity=1e-3,
        fixed=True,
    )
    for network in ("inceptionv3", "inception_resnetv2", "resnet101v2", "densenet201")
)

# Small enough for a repository and for one core: about as many films a second in each.
_SMALL = {
    "inceptionv3": (0.165, "full"),
    "inception_resnetv2": (0.16, "quarter"),
    "resnet101v2": (0.175, "quarter"),
    "densenet201": (0.3125, "quarter"),
}

_DEMO = (
    FilmRecipe(
        network,
        "demo",
        width=width,
        depths=depths,
        draw=Draw(16, changes="sources", balanced=True),
        steps=20_000,
        learning_rate=2e-3,
        minutes=12,
        weight_decay=2e-2,
        schedule="one-cycle",
        average=0.99,
        smoothing=0.05,
    )
    for network, (width, depths) in _SMALL.items()
)

_RECIPES = (*_PAPER, *_DEMO)


def film_recipe(network: str, name: str) -> FilmRecipe:
    """Return a recipe by its network and name.

    Raises:
        ValueError: there is none.
    """
    return choose(_RECIPES, network, name)
