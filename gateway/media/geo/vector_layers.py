"""Layers of polygons on the map with what is said of each, and GeoJSON of RFC 7946 made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import shapely
from shapely.geometry import mapping

from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.polygons import Shapes
from gateway.media.geo.vectors import building_areas, lon_lat_outlines, outlines
from gateway.vision.regions import Region

ColumnKind = Literal["text", "integer", "number", "truth"]

SENT = "source_"
"""Begins the names of properties that were sent where one of ours has the name."""

# A centimetre.
_DEGREE_DIGITS = 7
_AREA_DIGITS = 2
_BATCH = 512


@dataclass(frozen=True, eq=False)
class VectorLayer:
    """Polygons with columns, in longitude and latitude.

    Attributes:
        name: of the layer, in files of several.
        shapes: polygon or polygons of each feature, cut at the antimeridian.
        kinds: of the columns, by name.
        columns: a value per feature, None where there is none, by name.
        ids: of the features, as JSON has them; empty: their numbers from 1.
        sent: properties that the caller sent of each; empty: none were.
    """

    name: str
    shapes: Shapes
    kinds: Mapping[str, ColumnKind]
    columns: Mapping[str, Sequence[Any]]
    ids: Sequence[str | int] = ()
    sent: Sequence[Mapping[str, Any]] = field(default=())

    def with_column(self, name: str, kind: ColumnKind, values: Sequence[Any]) -> VectorLayer:
        """Return the layer with another column, the last."""
        return replace(self, kinds={**self.kinds, name: kind}, columns={**self.columns, name: values})

    def properties(self, feature: int) -> dict[str, Any]:
        """Return what is said of a feature: ours, then what was sent."""
        own = {name: values[feature] for name, values in self.columns.items()}
        if not self.sent:
            return own
        return own | {self.sent_name(name): value for name, value in self.sent[feature].items()}

    def sent_name(self, name: str) -> str:
        """Return what a property that was sent is called beside ours."""
        return f"{SENT}{name}" if name in self.columns else name


def region_layer(buildings: Sequence[Region], grid: GeoGrid, names: Sequence[str]) -> VectorLayer:
    """Return regions of a label map as a layer.

    Its columns are class, value, confidence (None: not asked for), area_m2 and pixels.

    Args:
        buildings: on `grid`.
        grid: of the pre-disaster image.
        names: of the classes, by label value.
    """
    return VectorLayer(
        "buildings",
        np.array(lon_lat_outlines(outlines(buildings), grid), object),
        {"class": "text", "value": "integer", "confidence": "number", "area_m2": "number", "pixels": "integer"},
        {
            "class": [names[building.value] for building in buildings],
            "value": [building.value for building in buildings],
            "confidence": [building.confidence for building in buildings],
            "area_m2": [round(area, _AREA_DIGITS) for area in building_areas(buildings, grid)],
            "pixels": [building.area for building in buildings],
        },
    )


def feature_collection(layer: VectorLayer, members: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the pieces of a GeoJSON feature collection.

    Args:
        layer: whose features it has.
        members: what else the collection says, by name of the member; JSON values.
    """
    head = {"type": "FeatureCollection", **members}
    yield json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "features": ['
    ids = layer.ids or range(1, len(layer.shapes) + 1)
    for start in range(0, len(layer.shapes), _BATCH):
        stop = min(start + _BATCH, len(layer.shapes))
        pieces = [
            (b",\n" if number else b"\n")
            + json.dumps(
                {
                    "type": "Feature",
                    "id": ids[number],
                    "geometry": geometry,
                    "properties": layer.properties(number),
                },
                ensure_ascii=False,
            ).encode()
            for number, geometry in zip(range(start, stop), _geometries(layer.shapes[start:stop]), strict=True)
        ]
        yield b"".join(pieces)
    yield b"\n]}\n"


def _geometries(shapes: Shapes) -> Iterator[dict[str, Any]]:
    """Yield geometries as GeoJSON: exterior rings against the clock, holes with it, to the centimetre."""
    turned = shapely.orient_polygons(shapes)
    for shape in shapely.transform(turned, lambda places: np.round(places, _DEGREE_DIGITS)):
        yield dict(mapping(shape))
