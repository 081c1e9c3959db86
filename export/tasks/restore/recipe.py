"""Recipes of the networks that take off clouds: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from export.tasks.restore.samples import Draw
from export.training.recipe import Hyperparameter, Recipe


@dataclass(frozen=True, kw_only=True)
class RestoreRecipe(Recipe):
    """How a generator is trained, and the discriminator beside it, at the same rate; see `Recipe`.

    Attributes:
        depths: layout of the generator.
        size: side of the served tiles, in pixels.
        draw: how samples are made.
        scenes: how many drawn scenes are mixed in.
        pixels: weight of the mean difference between drawn ground and ground, from -1 to 1; that of the adversarial
            loss is 1.
        cover: weight of the mean squared error of the cover.
        judged: samples of a batch that the discriminator is shown, which costs twice what drawing them does; 0: all.
    """

    depths: str
    size: int
    draw: Draw
    scenes: int
    pixels: float = 100.0
    cover: float = 1.0
    judged: int = 0

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        return {"pixels": self.pixels, "cover": self.cover, "judged": self.judged, **vars(self.draw)}

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        return {"depths": self.depths, "size": self.size}


RECIPES = (
    # pix2pix as published: single images of 256², Adam at 2e-4 with momentum 0.5, 100 times the mean difference; 200
    # epochs, here of 80 pairs. Over the second half the original's rate falls to 0 linearly, ours is a cosine. The
    # cover's error counts once, as in SpA-GAN.
    RestoreRecipe(
        network="pix2pix",
        name="paper",
        width=1.0,
        depths="unet256",
        size=256,
        draw=Draw(1, 256),
        scenes=60,
        steps=40_000,
        learning_rate=2e-4,
        momentum=0.5,
        schedule="one-cycle",
    ),
    RestoreRecipe(
        network="pix2pix",
        name="demo",
        width=0.25,
        depths="unet32",
        size=256,
        draw=Draw(8, 128),
        scenes=20,
        steps=20_000,
        learning_rate=2e-3,
        minutes=35,
        momentum=0.5,
        schedule="one-cycle",
        average=0.995,
        cover=20.0,
        judged=2,
    ),
)
