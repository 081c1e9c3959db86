"""The buildings of a pair of scenes as they lie on the map, whether they were found or given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gateway.media.geo.districts import District, Standing
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.polygons import Shapes
from gateway.media.geo.vector_layers import VectorLayer, region_layer
from gateway.media.geo.vectors import outlines
from gateway.repository.card import ClassSpec
from gateway.tasks.damage.scene_pipeline import SceneMap
from gateway.tasks.damage.scene_schema import building_values, footprint_answers

Int64 = npt.NDArray[np.int64]


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
) -> VectorLayer:
    """Return the buildings as a layer.

    Args:
        found: what the model saw.
        grid: of the pre-disaster image.
        classes: of the model, by label value.
        stands_in: the district of each building; None: no districts were sent.
    """
    names = [spec.name for spec in classes]
    nowhere = [None] * len(building_values(found))
    layer = (
        region_layer(found.buildings, grid, names)
        if found.graded is None
        else _footprint_layer(found, grid, classes, nowhere)
    )
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


def _footprint_layer(
    found: SceneMap, grid: GeoGrid, classes: Sequence[ClassSpec], nowhere: Sequence[District | None]
) -> VectorLayer:
    """Return footprints as they were sent, with what JSON says of each."""
    graded = found.graded
    if graded is None:
        raise ValueError("no footprints were sent")
    answers = footprint_answers(classes, graded, grid, nowhere)
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
