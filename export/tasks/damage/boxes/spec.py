"""The models that answer with boxes of buildings."""

from __future__ import annotations

from dataclasses import dataclass

from export.task import ExportTask, Tensors
from export.tasks.damage.spec import DAMAGE_CLASSES, LIMITATIONS, LITE0_LICENCE, PAIR_USE, XBD_LICENCE, DamageSpec
from gateway.repository.card import TensorSpec


@dataclass(frozen=True, kw_only=True)
class BoxSpec(DamageSpec):
    """A model that takes tiles of both images and gives a box per cell of a tile.

    `strides` are pixels per cell of the network's levels; the side of a tile is a multiple of the largest.
    """

    strides: tuple[int, ...] = (8, 16, 32)

    @property
    def task(self) -> str:
        """The card's task."""
        return "damage-boxes"

    def output_specs(self) -> Tensors:
        """Return the graph's outputs: x0, y0, x1, y1 in pixels of the tile, and a score per class above background."""
        cells = sum((self.tile // stride) ** 2 for stride in self.strides)
        shapes = {"boxes": (cells, 4), "scores": (cells, len(self.classes) - 1)}
        return tuple(TensorSpec(name=name, dtype="float32", shape=shape) for name, shape in shapes.items())

    def threshold_of(self, stated: float | None) -> float | None:
        """Return the score from which on a box counts."""
        return stated or THRESHOLD


THRESHOLD = 0.3
"""Of weights that state none."""

_LIMITATIONS = (
    LIMITATIONS + " A pair must be registered to within a few pixels. A box says where a building is, and not its "
    "outline. Neighbouring damage grades are often confused."
)


def _boxes(name: str, title: str, architecture: str, licence: str) -> BoxSpec:
    return BoxSpec(
        name=name,
        title=f"Boxes of buildings and their damage, {title}",
        summary="Finds buildings on satellite images before and after a disaster as boxes, and grades the damage.",
        architecture=architecture,
        inputs=("pre", "post"),
        classes=DAMAGE_CLASSES,
        licence=licence,
        intended_use=PAIR_USE,
        limitations=_LIMITATIONS,
    )


BOXES = (
    _boxes("bd-yolo", "YOLOX on EfficientNet-Lite0", "yolox_lite0", LITE0_LICENCE),
    _boxes("bd-yolox", "YOLOX", "yolox", XBD_LICENCE),
)

TASK = ExportTask(
    name="boxes",
    package="export.tasks.damage.boxes",
    subject="boxes",
    models=BOXES,
    threshold=THRESHOLD,
    draws=True,
)
