"""Recipes of the networks of CT: every choice of a training run in one frozen value.

Of the recipe `paper` the paper states: 256² in and 512² out, the terms of the loss and their weights, Adam at 1e-4
halved every 50 epochs, 250 epochs, and that augmentation makes 600 slices of the 100 of COVID-19_1. Guesses are, for it
does not state them: the batch (8), that an epoch is those 600 slices (hence 18,750 steps in all), how slices are
augmented (the defaults of `Draw`), the channels (64 to 1024, as in U-Net), and the window (-1250 to 250 HU). The U-Net
under the same numbers is a baseline of ours. Of the networks that it compares CogSeg with, the paper states neither
widths nor losses: they are as their authors published them, under the U-Net's recipe. `paper-sr1`, `paper-sr4` and
`paper-rmi` are the paper's ablations: agreement of the finest stage alone, of all four, and mutual information without
guidance by edges. `demo-sr1`, `demo-sr4` and `demo-rmi` are the same at the demonstration's size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from export.tasks.ct.losses import LossWeights
from export.tasks.ct.samples import Draw
from export.training.recipe import Hyperparameter, Recipe
from export.training.schedule import Schedule
from gateway.vision.windowing import LUNG, Window


@dataclass(frozen=True, kw_only=True)
class SliceRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        draw: how samples are made.
        loss: the weights of its terms.
        threshold: of P(lesion) in the decision; None is plain argmax.
        size: side of the slices that the network is given, in pixels.
        window: of Hounsfield units.
        depths: name of the network's depths, where it has several; else the paper's.
    """

    draw: Draw
    loss: LossWeights
    schedule: Schedule = "halving"
    threshold: float | None = None
    size: int = 256
    window: Window = LUNG
    depths: str = ""

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        loss = {f"loss_{name}": weight for name, weight in vars(self.loss).items() if name != "classes"}
        if self.network != "cogseg":
            loss = {key: weight for key, weight in loss.items() if key in ("loss_entropy", "loss_dice")}
        return {
            "class_weights": " ".join(map(str, self.loss.classes)),
            **loss,
            **vars(self.draw),
        }

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        window = (self.window.low, self.window.high)
        return {"threshold": self.threshold, "size": self.size, "window": window, "depths": self.depths}


PAPER_SLICES = 600
"""Slices in an epoch: the paper counts 600 after augmentation; that these are its epoch is a guess."""

_PAPER_DRAW, _DEMO_DRAW = Draw(8), Draw(6, crop=352, quarters=0.5)
# Networks that halve five times are given half of a crop of 320, and not of 352.
_HALVING_FIVE_TIMES = ("denseunet", "fcn8s", "hrnet")
_PAPER_STEPS = 250 * PAPER_SLICES // 8

# At the paper's 0.5, agreement makes both decoders of the narrow network one, and the labels suffer: after 45 minutes
# the infection DSC was 0.76 on validation, while the plain U-Net's was 0.84.
_DEMO_LOSS = LossWeights(agreement=0.02, edges=0.02, dice=1.0, classes=(1.0, 2.0, 3.0, 1.0), pool=4)

# Network → width and depths of its demonstration: each takes some two million parameters.
RIVALS: dict[str, tuple[float, str]] = {
    "ct_unet": (0.25, ""),
    "unet_plus_plus": (0.5, ""),
    "attention_unet": (0.25, ""),
    "denseunet": (1 / 3, "small"),
    "fcn8s": (0.25, ""),
    "deeplabv2": (0.25, "small"),
    "hrnet": (1.0, "w18-small"),
}

# Row of the paper's ablation → what its loss leaves out.
ABLATIONS: dict[str, dict[str, Any]] = {
    "sr1": {"agreeing": 1, "edges": 0.0},
    "sr4": {"edges": 0.0},
    "rmi": {"guided": False},
}


def _paper(network: str) -> SliceRecipe:
    return SliceRecipe(
        network=network,
        name="paper",
        width=1.0,
        draw=_PAPER_DRAW,
        loss=LossWeights(),
        steps=_PAPER_STEPS,
        learning_rate=1e-4,
    )


def _demo(network: str, width: float, depths: str = "") -> SliceRecipe:
    return SliceRecipe(
        network=network,
        name="demo",
        width=width,
        depths=depths,
        draw=replace(_DEMO_DRAW, crop=320) if network in _HALVING_FIVE_TIMES else _DEMO_DRAW,
        loss=_DEMO_LOSS,
        steps=20_000,
        learning_rate=2e-3,
        minutes=45,
        weight_decay=1e-2,
        schedule="one-cycle",
        average=0.99,
        threshold=0.5,
    )


_COGSEG = (_paper("cogseg"), _demo("cogseg", 0.25))

RECIPES = (
    *_COGSEG,
    *(
        replace(recipe, name=f"{recipe.name}-{row}", loss=replace(recipe.loss, **left_out))
        for recipe in _COGSEG
        for row, left_out in ABLATIONS.items()
    ),
    *(_paper(network) for network in RIVALS),
    *(_demo(network, width, depths) for network, (width, depths) in RIVALS.items()),
    SliceRecipe(
        network="ct_lite0",
        name="demo",
        width=1.0,
        draw=Draw(6, crop=320, quarters=0.5, smallest=0.6, largest=1.3),
        loss=_DEMO_LOSS,
        steps=20_000,
        learning_rate=1.5e-3,
        minutes=60,
        weight_decay=2e-2,
        schedule="one-cycle",
        average=0.99,
        threshold=0.5,
        encoder_rate=0.4,
        pretrained=True,
        fixed_levels=3,
    ),
)
