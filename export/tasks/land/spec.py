"""The models of land cover."""

from __future__ import annotations

from dataclasses import dataclass

from export.task import ExportTask, Tensors, TiledSpec, label_specs
from gateway.repository.card import ClassSpec


@dataclass(frozen=True, kw_only=True)
class LandSpec(TiledSpec):
    """A model that takes tiles of satellite images at a metre a pixel; a checkpoint chooses the tile's side."""

    @property
    def task(self) -> str:
        """The card's task."""
        return "land"

    def output_specs(self, size: int) -> Tensors:
        """Return the graph's outputs: label map, then quantised probabilities."""
        return label_specs((size, size), len(self.classes))


LAND_CLASSES = (
    ClassSpec(value=0, name="open ground", colour=(0, 0, 0)),
    ClassSpec(value=1, name="building", colour=(255, 0, 0)),
    ClassSpec(value=2, name="road", colour=(255, 255, 0)),
    ClassSpec(value=3, name="tree", colour=(0, 255, 0)),
    ClassSpec(value=4, name="water", colour=(0, 0, 255)),
)
"""Values as drawn scenes have them, colours of buildings, roads, forest and water as LoveDA has them."""

_LICENCE = "Non-commercial research use only (learnt from the Massachusetts roads, NEON's plots and xBD"


def _land(name: str, title: str, architecture: str, licence: str, crowns: str) -> LandSpec:
    return LandSpec(
        name=name,
        title=f"Land cover of satellite images, {title}",
        summary="Tells buildings, roads, trees, water and open ground apart on one satellite image.",
        architecture=architecture,
        classes=LAND_CLASSES,
        licence=licence,
        intended_use=(
            "Research demonstration of mapping land cover. Not for operational use: that a road is there, or passable, "
            "may not rest on it."
        ),
        limitations=(
            "Sees a metre a pixel. Learnt from few photographs, each labelled for one class alone: roads of "
            "Massachusetts, whose labels are lines of one width, crowns of four American forests, and buildings of "
            "xBD; water, and the five classes side by side, from drawn scenes alone. Roads under trees break off, "
            "car parks and roofs are taken for roads, beaches for roofs, shadows for water; " + crowns
        ),
    )


LAND = (
    _land(
        "land-hrnet",
        "HRNet",
        "land_hrnet",
        _LICENCE + ")",
        "crowns are found no better than by calling everything a tree.",
    ),
    _land(
        "land-lite0",
        "U-Net on EfficientNet-Lite0",
        "land_lite0",
        _LICENCE + "; the encoder began with public ImageNet weights under Apache-2.0)",
        "of crowns a part is found, bare woods are open ground, dense quarters run into one building, and dark lakes "
        "are not found.",
    ),
)

TASK = ExportTask(name="land", package="export.tasks.land", subject="land cover", models=LAND, size=288, draws=True)
