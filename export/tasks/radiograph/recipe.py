"""Recipes of the networks of radiographs: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from export.tasks.radiograph.samples import Draw
from export.tasks.radiograph.spec import THRESHOLD
from export.training.recipe import Hyperparameter, Recipe


@dataclass(frozen=True, kw_only=True)
class RadiographRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        depths: name of the share of Keras' repeated blocks; of the plain network 1, since members are learnt apart.
        draw: how samples are made.
        smoothing: how much of each label is given to both classes alike.
        activity: factor of the hidden layer's activity, |a| + a² summed over its units, in the loss.
        fixed: a backbone that is given at the start is not changed: the head alone learns.
        size: side of a film, in pixels.
        other_covid: P(COVID-19) that is learnt for films of no class of the paper, where `draw` shows any.
    """

    depths: str
    draw: Draw
    smoothing: float = 0.0
    activity: float = 0.0
    fixed: bool = False
    size: int = 224
    other_covid: float = 0.5

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        return {
            "smoothing": self.smoothing,
            "activity": self.activity,
            "fixed": self.fixed,
            "other_covid": self.other_covid,
            **vars(self.draw),
        }

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"depths": self.depths, "size": self.size, "threshold": THRESHOLD}


PAPER_FILMS = 755
"""Films in the paper's training split: 70 % of its 140 and 939."""

_PAPER_BATCH, _PAPER_EPOCHS = 32, 50

# Stated: SMOTE on the training films, jitter, the head and the factor of its activity, cross-entropy, weights of
# ImageNet; that fine-tuning is future work says that the backbone was fixed. Guessed: Adam at 1e-3, batch, epochs.
_PAPER = (
    RadiographRecipe(
        network=network,
        name="paper",
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

_DEMO = tuple(
    RadiographRecipe(
        network=network,
        name="demo",
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

_LITE0_DRAW = Draw(16, changes="sources", balanced=True, balance=0.5)


def _lite0(name: str, draw: Draw = _LITE0_DRAW, other_covid: float = 0.5) -> RadiographRecipe:
    return RadiographRecipe(
        network="film_lite0",
        name=name,
        width=1.0,
        depths="full",
        draw=draw,
        steps=20_000,
        learning_rate=1e-3,
        minutes=6,
        weight_decay=2e-2,
        schedule="one-cycle",
        average=0.99,
        smoothing=0.05,
        encoder_rate=0.4,
        pretrained=True,
        other_covid=other_covid,
    )


# Other pneumonias come from the archives of both classes: they part what a film shows from where it is from.
_LITE0 = (
    _lite0("alone"),
    _lite0("even", replace(_LITE0_DRAW, others=0.3)),
    _lite0("against", replace(_LITE0_DRAW, others=0.3), other_covid=0.1),
)

_EVEN = tuple(
    replace(recipe, name=name, draw=replace(recipe.draw, balance=0.5, others=0.3), other_covid=covid)
    for recipe in _DEMO
    for name, covid in (("even", 0.5), ("against", 0.1))
)

# Slight changes: what hides sources from it was tried as well, and it then told archives apart no less.
_PLAIN = RadiographRecipe(
    network="film_plain",
    name="demo",
    width=0.3,
    depths="1",
    draw=Draw(32, changes="jitter", balanced=True, balance=0.5),
    steps=20_000,
    learning_rate=2e-3,
    minutes=8,
    weight_decay=2e-2,
    schedule="one-cycle",
    average=0.99,
    smoothing=0.05,
    size=128,
)

RECIPES = (*_PAPER, *_DEMO, *_EVEN, *_LITE0, _PLAIN)
