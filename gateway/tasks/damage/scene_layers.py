"""The buildings of a pair of scenes as they lie on the map, whether they were found or given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from gateway.media.gdal import contained
from gateway.media.geo.districts import District, DistrictCount, Standing
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.polygons import Shapes
from gateway.media.geo.vector_layers import ColumnKind, VectorLayer, region_layer
from gateway.media.geo.vectors import lon_lat_outlines, outlines
from gateway.repository.card import ClassSpec
from gateway.tasks.damage.scene_answers import (
    building_values,
    district_answers,
    footprint_answers,
    region_uncertainties,
)
from gateway.tasks.damage.scene_bands import GradedFootprints, Observation
from gateway.tasks.damage.scene_pipeline import SceneMap
from gateway.tasks.damage.scene_schema import AlignmentAnswer, FootprintAnswer

Int64 = npt.NDArray[np.int64]

_STEPS_PER_SIDE = 16


def standing(found: SceneMap, grid: GeoGrid) -> Standing:
    """Return where the buildings stand; those that were not assessed have the value 0."""
    if found.graded is None:
        return Standing.of_regions(found.buildings, grid)
    shapes = np.array([one.shape for one in found.graded.footprints.sent], object)
    points = shapely.get_coordinates(shapely.point_on_surface(shapes))
    return Standing(points, building_values(found), np.nan_to_num(grid.plane_areas(shapes), posinf=0.0))


def building_layer(
    found: SceneMap,
    grid: GeoGrid,
    classes: Sequence[ClassSpec],
    stands_in: Sequence[District | None] | None,
    below: float,
    *,
    twice: bool,
) -> VectorLayer:
    """Return the buildings as a layer.

    Args:
        found: what the model saw.
        grid: of the pre-disaster image.
        classes: of the model, by label value.
        stands_in: the district of each building; None: no districts were sent.
        below: confidence under which a building is uncertain.
        twice: whether models looked at everything twice.
    """
    names = [spec.name for spec in classes]
    if found.graded is None:
        layer = region_layer(found.buildings, grid, names)
        said = region_uncertainties(classes, found, below)
    else:
        answers = footprint_answers(classes, found, found.graded, grid, [None] * len(found.graded.values), below)
        layer = _footprint_layer(answers, found.graded)
        said = [vars(one) for one in answers]
    layer = layer.with_column("uncertain", "truth", [one["uncertain"] for one in said])
    for name in names[1:]:
        layer = layer.with_column(f"p_{name}", "number", [one["scores"] and one["scores"][name] for one in said])
    if twice:
        layer = layer.with_column("disagreement", "number", [one["disagreement"] for one in said])
    if found.invented is not None:
        layer = layer.with_column("invented_share", "number", [one["invented_share"] for one in said])
    if stands_in is None:
        return layer
    return layer.with_column("district", "text", [None if one is None else one.id for one in stands_in])


def pixel_shapes(found: SceneMap) -> tuple[Shapes, list[int]]:
    """Return the polygons of the buildings in pixels of the pre-disaster image, and their values.

    Of footprints those that the image has some of.
    """
    if found.graded is None:
        return np.array(outlines(found.buildings), object), building_values(found).tolist()
    within = found.graded.footprints.boxes.any(axis=1)
    return found.graded.footprints.shapes[within], found.graded.values[within].tolist()


def _footprint_layer(answers: Sequence[FootprintAnswer], graded: GradedFootprints) -> VectorLayer:
    """Return footprints as they were sent, with what JSON says of each."""
    columns: dict[str, Sequence[Any]] = {
        "class": [one.name for one in answers],
        "value": [one.value for one in answers],
        "confidence": [one.confidence for one in answers],
        "area_m2": [one.area_m2 for one in answers],
        "pixels": [one.pixels for one in answers],
        "observed_share": [one.observed_share for one in answers],
        "not_assessed": [one.not_assessed for one in answers],
    }
    return VectorLayer(
        "buildings",
        np.array([one.shape for one in graded.footprints.sent], object),
        {
            "class": "text",
            "value": "integer",
            "confidence": "number",
            "area_m2": "number",
            "pixels": "integer",
            "observed_share": "number",
            "not_assessed": "truth",
        },
        columns,
        ids=[one.id for one in answers],
        sent=[one.properties for one in answers],
    )


def district_layer(counts: Sequence[DistrictCount], classes: Sequence[ClassSpec]) -> VectorLayer:
    """Return the districts with what stands in them; what stands in none is left out."""
    districts = [one.district for one in counts if one.district is not None]
    answers = district_answers(classes, counts)[: len(districts)]
    kinds: dict[str, ColumnKind] = {
        "id": "text",
        "name": "text",
        "observed_share": "number",
        "not_assessed": "truth",
        "buildings_not_assessed": "integer",
    }
    columns: dict[str, Sequence[Any]] = {name: [getattr(one, name) for one in answers] for name in kinds}
    for index, spec in enumerate(classes[1:]):
        kinds |= {f"{spec.name}_buildings": "integer", f"{spec.name}_m2": "number"}
        columns[f"{spec.name}_buildings"] = [one.classes[index].buildings for one in answers]
        columns[f"{spec.name}_m2"] = [one.classes[index].area_m2 for one in answers]
    return VectorLayer("districts", np.array([one.shape for one in districts], object), kinds, columns)


def observed_layer(observation: Observation, grid: GeoGrid, share: float) -> VectorLayer:
    """Return what was seen and classified of the scene, to the size of the cells, those that half of was seen."""
    from rasterio.features import shapes

    side = observation.side
    shown = (2 * observation.seen >= observation.pixels()).astype(np.uint8)
    with contained():
        found = [shape(one) for one, _ in shapes(shown, mask=shown > 0, transform=Affine.scale(side))]
    area = shapely.clip_by_rect(shapely.union_all(found), 0, 0, grid.width, grid.height)
    placed = lon_lat_outlines([area] if area.area else [], grid)
    kinds: dict[str, ColumnKind] = {"observed_share": "number", "cell_pixels": "integer"}
    return VectorLayer(
        "observed",
        _array(placed),
        kinds,
        {"observed_share": [share] * len(placed), "cell_pixels": [side] * len(placed)},
    )


def alignment_layer(alignment: AlignmentAnswer, pre: GeoGrid, post: GeoGrid) -> VectorLayer:
    """Return the outlines of both images as their files have them, and how they were brought together."""
    outlined = [
        lon_lat_outlines([shapely.segmentize(shapely.box(0, 0, grid.width, grid.height), _edge(grid))], grid)[0]
        for grid in (pre, post)
    ]
    x, y = alignment.shift or (None, None)
    said: dict[str, tuple[ColumnKind, Any]] = {
        "asked": ("text", alignment.asked),
        "overlap": ("number", alignment.overlap),
        "shift_x": ("number", x),
        "shift_y": ("number", y),
        "confidence": ("number", alignment.confidence),
        "corrected": ("truth", alignment.corrected),
    }
    kinds: dict[str, ColumnKind] = {"image": "text", **{name: kind for name, (kind, _) in said.items()}}
    columns: dict[str, Sequence[Any]] = {"image": ["pre", "post"]} | {name: [v] * 2 for name, (_, v) in said.items()}
    return VectorLayer("alignment", _array(outlined), kinds, columns)


def _edge(grid: GeoGrid) -> float:
    """Return how long edges of an outline may be, in pixels: what is straight in pixels is not so in degrees."""
    return max(grid.width, grid.height) / _STEPS_PER_SIDE


def _array(shapes: Sequence[BaseGeometry]) -> Shapes:
    found = np.empty(len(shapes), object)
    found[:] = shapes
    return found
