"""Recipes: every choice of a training run in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from export.graphs.framing import Framing, Tint
from export.tasks.damage.samples import Draw
from export.training.choice import choose
from export.training.schedule import Schedule


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Training ends after ``steps`` or ``minutes``, whichever comes first.

    Attributes:
        network: the architecture.
        name: the recipe's own name.
        width: multiplier on the paper's channel counts.
        reduction: images are averaged over this many pixels squared first, as in the served graph.
        draw: which samples a step sees.
        steps: the most steps.
        minutes: the longest time, in minutes of training and evaluation; None sets no limit.
        learning_rate: of Adam; the peak, where the schedule has one.
        weight_decay: decoupled (AdamW); 0 is plain Adam.
        schedule: ``one-cycle`` warms up linearly and falls as a cosine to 0 over whichever limit comes first.
        average: decay per step of the moving average of weights that is evaluated and kept; 0 keeps the last weights.
        class_weights: of the damage classes 1 to 4.
        scenes: how many drawn scenes are mixed in.
        threshold: of P(building) in the decision; None is plain argmax.
        normalised: whether the network learns with batch normalisation that is folded away at the end; see `normed`.
        post_tint: tells the image after the disaster from the one before; see `Framing`.
    """

    network: str
    name: str
    width: float
    reduction: int
    draw: Draw
    steps: int
    learning_rate: float
    minutes: float | None = None
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    average: float = 0.0
    class_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    scenes: int = 0
    threshold: float | None = None
    normalised: bool = False
    post_tint: Tint = (0.0, 0.0, 0.0)

    @property
    def framing(self) -> Framing:
        """What the served graph does around the network."""
        return Framing(self.reduction, self.threshold, self.post_tint)

    def hyperparameters(self) -> dict[str, str | int | float | bool]:
        """Return, as one flat dictionary, the choices that a card does not state elsewhere."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "average": self.average,
            "normalised": self.normalised,
            "class_weights": " ".join(map(str, self.class_weights)),
            **vars(self.draw),
        }


XBD_TRAIN_PAIRS = 2799
"""Pairs in xBD's ``train`` split: what an epoch of the paper means."""

_RECIPES = (
    # Stated by the paper: Adam 1e-6, batch 16, 15 epochs, 256x256 images, full width. Loss and augmentation are not.
    Recipe("fcn", "paper", 1.0, 4, Draw(256, 16), 15 * XBD_TRAIN_PAIRS // 16, 1e-6),
    # The paper states the network and 256x256 images only; optimiser, batch and length are taken from its FCN, with
    # Adam's customary rate, as 1e-6 would not move a network with batch normalisation in 15 epochs.
    Recipe("siamunet", "paper", 1.0, 4, Draw(256, 16), 15 * XBD_TRAIN_PAIRS // 16, 1e-3),
    # The paper states the network alone. Its reference: AdamW at 1e-4, times 0.6 at 17 epochs of 100, decay 1e-6, batch
    # 16, crops of 256 pixels; Dice and focal losses per map, and weighted cross-entropy, where ours are those of all.
    Recipe(
        "dahitra",
        "paper",
        1.0,
        1,
        Draw(256, 16),
        100 * XBD_TRAIN_PAIRS // 16,
        1e-4,
        weight_decay=1e-6,
        threshold=0.3,
    ),
    Recipe(
        "fcn",
        "demo",
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
    Recipe(
        "siamunet",
        "demo",
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
    Recipe(
        "dahitra",
        "demo",
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
)


def recipe(network: str, name: str) -> Recipe:
    """Return a recipe by its network and name.

    Raises:
        ValueError: there is none.
    """
    return choose(_RECIPES, network, name)
