"""Recipes: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from export.graphs.framing import Framing, Tint
from export.tasks.damage.samples import Draw
from export.training.recipe import Hyperparameter, Recipe


@dataclass(frozen=True, kw_only=True)
class PairRecipe(Recipe):
    """How a network is trained; see `Recipe`.

    Attributes:
        reduction: images are averaged over this many pixels squared first, as in the served graph.
        draw: which samples a step sees.
        class_weights: of the damage classes 1 to 4.
        scenes: how many drawn scenes are mixed in.
        threshold: of P(building) in the decision; None is plain argmax.
        normalised: whether the network learns with batch normalisation that is folded away at the end; see `normed`.
        post_tint: tells the image after the disaster from the one before; see `Framing`.
        depths: name of the backbone, where the network has several.
    """

    reduction: int
    draw: Draw
    class_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    scenes: int = 0
    threshold: float | None = None
    normalised: bool = False
    post_tint: Tint = (0.0, 0.0, 0.0)
    depths: str | None = None

    @property
    def framing(self) -> Framing:
        """What the served graph does around the network."""
        return Framing(self.reduction, self.threshold, self.post_tint)

    def choices(self) -> dict[str, Hyperparameter]:
        """Return the choices that are the task's own."""
        return {
            "normalised": self.normalised,
            "class_weights": " ".join(map(str, self.class_weights)),
            **vars(self.draw),
        }

    def served(self) -> dict[str, Any]:
        """Return what the recipe fixes of the served graph."""
        framing = {"reduction": self.reduction, "threshold": self.threshold, "post_tint": self.post_tint}
        return framing | ({"depths": self.depths} if self.depths else {})


XBD_TRAIN_PAIRS = 2799
"""Pairs in xBD's ``train`` split: what an epoch of the paper means."""

_LITE0 = PairRecipe(
    network="siamese_lite0",
    name="demo",
    width=1.0,
    reduction=2,
    draw=Draw(192, 8, drawn=0.0, pasted=0.4, balance=0.5),
    steps=20_000,
    minutes=90,
    learning_rate=1.5e-3,
    weight_decay=1e-2,
    schedule="one-cycle",
    average=0.998,
    class_weights=(1.0, 2.0, 3.0, 4.0),
    threshold=0.5,
    encoder_rate=0.4,
    pretrained=True,
    fixed_levels=1,
)

_TERRAIN = PairRecipe(
    network="siamunet_terrain",
    name="demo",
    width=0.125,
    reduction=2,
    draw=Draw(128, 8, drawn=0.5, pasted=0.5, known=0.7),
    steps=300,
    learning_rate=2e-3,
    weight_decay=1e-2,
    schedule="one-cycle",
    average=0.998,
    class_weights=(1.0, 2.5, 4.0, 8.0),
    scenes=30,
    threshold=0.5,
    post_tint=(1.0, 0.0, -1.0),
)

RECIPES = (
    # Stated by the paper: Adam 1e-6, batch 16, 15 epochs, 256x256 images, full width. Loss and augmentation are not.
    PairRecipe(
        network="fcn",
        name="paper",
        width=1.0,
        reduction=4,
        draw=Draw(256, 16),
        steps=15 * XBD_TRAIN_PAIRS // 16,
        learning_rate=1e-6,
    ),
    # The paper states the network and 256x256 images only; optimiser, batch and length are taken from its FCN, with
    # Adam's customary rate, as 1e-6 would not move a network with batch normalisation in 15 epochs.
    PairRecipe(
        network="siamunet",
        name="paper",
        width=1.0,
        reduction=4,
        draw=Draw(256, 16),
        steps=15 * XBD_TRAIN_PAIRS // 16,
        learning_rate=1e-3,
    ),
    # The papers plan terrain and state nothing: as siamunet's, with drawn scenes for terrain.
    PairRecipe(
        network="siamunet_terrain",
        name="paper",
        width=1.0,
        reduction=4,
        draw=Draw(256, 16, known=0.7),
        steps=15 * XBD_TRAIN_PAIRS // 16,
        learning_rate=1e-3,
        scenes=400,
    ),
    # The paper states the network alone. Its reference: AdamW at 1e-4, times 0.6 at 17 epochs of 100, decay 1e-6, batch
    # 16, crops of 256 pixels; Dice and focal losses per map, and weighted cross-entropy, where ours are those of all.
    PairRecipe(
        network="dahitra",
        name="paper",
        width=1.0,
        reduction=1,
        draw=Draw(256, 16),
        steps=100 * XBD_TRAIN_PAIRS // 16,
        learning_rate=1e-4,
        weight_decay=1e-6,
        threshold=0.3,
    ),
    # The paper names the network alone. Its reference: AdamW with decay 5e-4, cross-entropy and Lovász-softmax, where
    # ours are those of all.
    PairRecipe(
        network="siamcrnn",
        name="paper",
        width=1.0,
        depths="resnet34",
        reduction=1,
        draw=Draw(256, 16),
        steps=50 * XBD_TRAIN_PAIRS // 16,
        learning_rate=1e-4,
        weight_decay=5e-4,
        threshold=0.5,
    ),
    PairRecipe(
        network="fcn",
        name="demo",
        width=0.5,
        reduction=2,
        draw=Draw(192, 8, swapped=0.4),
        steps=20_000,
        minutes=23,
        learning_rate=2e-3,
        weight_decay=1e-2,
        schedule="one-cycle",
        average=0.998,
        scenes=60,
        threshold=0.5,
        normalised=True,
    ),
    PairRecipe(
        network="siamunet",
        name="demo",
        width=0.25,
        reduction=2,
        draw=Draw(192, 8, pasted=0.5),
        steps=20_000,
        minutes=28,
        learning_rate=2e-3,
        weight_decay=1e-2,
        schedule="one-cycle",
        average=0.998,
        class_weights=(1.0, 2.5, 4.0, 8.0),
        scenes=60,
        threshold=0.5,
        post_tint=(1.0, 0.0, -1.0),
    ),
    # As siamunet's, in half its width, with as many drawn scenes as photographs: those alone have terrain. It ends by
    # steps, so that it can be set beside one that was shown none in as many.
    _TERRAIN,
    replace(_TERRAIN, name="without", draw=replace(_TERRAIN.draw, known=0.0)),
    _LITE0,
    # Learnt on a GPU, at the full size of the images, with `--workers 5`.
    replace(
        _LITE0,
        name="gpu",
        reduction=1,
        draw=replace(_LITE0.draw, crop=384, batch=12, shift=2.0),
        steps=3_500,
        minutes=None,
        average=0.999,
    ),
    # What ships: it began with what the recipe above had made.
    replace(
        _LITE0,
        name="further",
        reduction=1,
        draw=replace(_LITE0.draw, crop=384, batch=8, shift=2.0, pasted=0.5),
        minutes=100,
        learning_rate=1e-3,
    ),
    replace(_LITE0, network="crnn_lite0", draw=replace(_LITE0.draw, series=0.3), minutes=60),
    # What ships: it began with a `siamese_lite0` that the recipe above had made, and left its encoder as it was.
    replace(
        _LITE0,
        network="crnn_lite0",
        name="full",
        reduction=1,
        draw=replace(_LITE0.draw, crop=256, batch=6, shift=2.0, series=0.3),
        steps=2_000,
        minutes=35,
        average=0.995,
        fixed_levels=4,
    ),
    PairRecipe(
        network="dahitra",
        name="demo",
        width=0.375,
        reduction=2,
        draw=Draw(192, 8, pasted=0.5),
        steps=20_000,
        minutes=25,
        learning_rate=2e-3,
        weight_decay=1e-2,
        schedule="one-cycle",
        average=0.998,
        class_weights=(1.0, 2.5, 4.0, 8.0),
        scenes=60,
        threshold=0.5,
    ),
    PairRecipe(
        network="siamcrnn",
        name="demo",
        width=0.1875,
        depths="resnet18",
        reduction=1,
        draw=Draw(256, 6, pasted=0.4, balance=0.3, series=0.3),
        steps=20_000,
        minutes=60,
        learning_rate=2e-3,
        weight_decay=1e-2,
        schedule="one-cycle",
        average=0.998,
        class_weights=(1.0, 2.5, 4.0, 8.0),
        scenes=30,
        threshold=0.5,
    ),
)
