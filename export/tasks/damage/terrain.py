"""What terrain is worth: a model that takes some, on drawn scenes, shown none of it, each raster alone, and all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskgate_client.scenes import Terrain
from tqdm import tqdm

from export.evaluation.engine import Bench
from export.synthetic.towns import DrawnPair
from export.tasks.damage.metrics import DamageCounts, metrics
from gateway.engines.base import Model
from gateway.tasks.damage.pipeline import Rasters, map_damage, rasters_of, segmenter_of

_FIRST = 5000
"""No recipe learns from as many scenes as come before this one."""

_HEIGHTS = {"surface, before": "surface_before", "surface, after": "surface_after"}

SHOWN: Mapping[str, tuple[str, ...]] = {
    "images alone": (),
    "elevation": ("elevation",),
    "surface, before": ("surface, before",),
    "surface, after": ("surface, after",),
    "landcover": ("landcover",),
    "all, surface before": ("elevation", "surface, before", "landcover"),
    "all, surface after": ("elevation", "surface, after", "landcover"),
}
"""What a model is shown beside the images: in words → its rasters, of heights with when they were measured."""

FIGURES = (
    "localisation_f1",
    "no-damage_f1",
    "minor-damage_f1",
    "major-damage_f1",
    "destroyed_f1",
    "damage_f1_harmonic_mean",
    "xview2_score",
)
"""What is told of each."""


def scenes(count: int) -> list[DrawnPair]:
    """Return so many drawn scenes that nothing was learnt from."""
    return [DrawnPair(_FIRST + index) for index in range(count)]


def worth(bench: Bench, model: Model, pairs: Sequence[DrawnPair]) -> dict[str, dict[str, float]]:
    """Return `FIGURES` of a model over scenes for each of `SHOWN`; of one without rasters of the images alone.

    Shows its progress.
    """
    taken = {raster.input for raster in rasters_of(model)}
    asked = {words: names for words, names in SHOWN.items() if {name.partition(",")[0] for name in names} <= taken}
    counts = {words: DamageCounts() for words in asked}
    segmenter = segmenter_of(bench.run, model)
    for pair in tqdm(pairs, desc=model.name, unit="scene", leave=False):
        pre, post, labels, terrain = pair.read_pre(), pair.read_post(), pair.read_labels(), pair.read_terrain()
        for words, names in asked.items():
            answer = bench.answer(map_damage(segmenter, pre, post, rasters=_rasters(terrain, names)))
            counts[words].add(answer.label_map, labels)
    classes = len(model.card.classes)
    found = {words: metrics(each, classes) for words, each in counts.items()}
    return {words: {name: figures[name] for name in FIGURES if name in figures} for words, figures in found.items()}


def _rasters(terrain: Terrain, names: Sequence[str]) -> Rasters:
    return {name.partition(",")[0]: getattr(terrain, _HEIGHTS.get(name, name)) for name in names}
