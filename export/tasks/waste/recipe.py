"""Recipes of the networks of waste: every choice of a training run in one frozen value.

Of the networks that FANet is compared with, the paper does not say how they were trained. Here they are as their
authors published them, under FANet's recipe. CCT and ReCo learn from half of the photographs with their labels and from
the other half without. The rows of the paper's ablation are recipes of `fanet_parts`, named for what is there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from export.networks.fanet_blocks import ABLATIONS
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
        labelled: share of the photographs whose labels are learnt from; the others are shown without.
    """

    depths: str | None
    size: int
    draw: Draw
    loss: LossWeights
    schedule: Schedule = "poly"
    normalised: bool = False
    labelled: float = 1.0

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        draw = {name: value for name, value in vars(self.draw).items() if name != "light"}
        return {
            "normalised": self.normalised,
            "loss_auxiliary": self.loss.auxiliary if self.network in _TWO_HEADED else 0.0,
            "loss_dice": self.loss.dice,
            "class_weights": " ".join(map(str, self.loss.classes)) or "all alike",
            **({"labelled": self.labelled} if self.labelled < 1 else {}),
            **draw,
            **vars(self.draw.light),
        }

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"depths": self.depths or "", "size": self.size}


_TWO_HEADED = ("fanet", "fanet_parts", "focalnet")
_HALF = {"cct": 0.5, "reco": 0.5}

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

# Network → width and depths of its demonstration.
RIVALS: dict[str, tuple[float, str]] = {
    "deeplabv3plus": (0.25, "resnet26"),
    "focalnet": (0.25, "focalnet_small"),
    "cct": (0.25, "resnet26"),
    "reco": (0.25, "resnet26"),
}


def _paper(network: str, depths: str | None, name: str = "paper") -> WasteRecipe:
    """Return FANet's published configuration: 40,000 steps of two 512² crops, AdamW at 9e-5 with a decay of 0.001
    (0.05 is that of its pretraining on ImageNet), poly with the power 0.95, 0.5 for the second head."""
    return WasteRecipe(
        network=network,
        name=name,
        width=1.0,
        depths=depths,
        size=512,
        draw=Draw(2, 512),
        loss=LossWeights(auxiliary=0.5 if network in _TWO_HEADED else 0.4),
        steps=40_000,
        learning_rate=9e-5,
        weight_decay=1e-3,
        # ReCo's teacher is the running average.
        average=0.99 if network == "reco" else 0.0,
        labelled=_HALF.get(network, 1.0),
    )


def _demo(network: str, width: float, depths: str | None, name: str = "demo") -> WasteRecipe:
    return WasteRecipe(
        network=network,
        name=name,
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
        labelled=_HALF.get(network, 1.0),
    )


RECIPES = (
    _paper("fanet", "fanet_b"),
    _paper("waste_fcn", None),
    _paper("deeplabv3plus", "resnet101"),
    _paper("focalnet", "focalnet_t"),
    _paper("focalnet", "focalnet_b", "paper-b"),
    _paper("cct", "resnet50"),
    _paper("reco", "resnet101"),
    *(_paper("fanet_parts", f"fanet_b_{row}", f"paper-{row}") for row in ABLATIONS),
    _demo("fanet", 1 / 6, "fanet_s"),
    _demo("waste_fcn", 0.25, None),
    *(_demo(network, *size) for network, size in RIVALS.items()),
    *(_demo("fanet_parts", 1 / 6, f"fanet_s_{row}", f"demo-{row}") for row in ABLATIONS),
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
