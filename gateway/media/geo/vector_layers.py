"""Layers of polygons on the map with what is said of each, and GeoJSON of RFC 7946 made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely
from shapely.geometry import mapping

from gateway.errors import GeometryUnsuitable
from gateway.media.geo.georeference import GeoGrid, lon_lat_crs, transformed
from gateway.media.geo.polygons import Shapes
from gateway.media.geo.vectors import building_areas, lon_lat_outlines, outlines
from gateway.vision.regions import Region

if TYPE_CHECKING:
    from rasterio.crs import CRS

ColumnKind = Literal["text", "integer", "number", "truth"]

SENT = "source_"
"""Begins the names of properties that were sent where one of ours has the name."""

# A centimetre.
_DEGREE_DIGITS = 7
_AREA_DIGITS = 2
_BATCH = 512
_MOST_COLUMNS = 200
# What files call their own columns.
_TAKEN = ("fid", "ogc_fid", "geom", "geometry")


@dataclass(frozen=True)
class Column:
    """One column of a table: values of one kind, None where there is none."""

    name: str
    kind: ColumnKind
    values: Sequence[Any]


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

    def table(self) -> list[Column]:
        """Return the columns of a table: the ids that were sent, ours, and what was sent.

        Names differ by more than case. Of more properties than tables have columns for, one column has all of them as
        JSON.
        """
        names = dict.fromkeys(name for properties in self.sent for name in properties)
        columns = [Column("id", "text", [str(one) for one in self.ids])] if self.ids else []
        columns += [
            Column(name, kind, _texts(values) if kind == "text" else values)
            for (name, kind), values in zip(self.kinds.items(), self.columns.values(), strict=True)
        ]
        if len(names) > _MOST_COLUMNS:
            return [*columns, Column(f"{SENT}properties", "text", [json.dumps(one) for one in self.sent])]
        taken = {*_TAKEN, *(column.name for column in columns)}
        for name in names:
            values = [properties.get(name) for properties in self.sent]
            kind = _kind(values)
            columns.append(Column(_free(name, taken), kind, _texts(values) if kind == "text" else values))
        return columns

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


def placed(shapes: Shapes, crs: CRS) -> Shapes:
    """Return polygons in longitude and latitude as multipolygons of a coordinate reference system.

    Raises:
        GeometryUnsuitable: some of them are where it has no places.
    """
    moved = shapely.transform(shapes, lambda places: transformed(lon_lat_crs(), crs, places)) if len(shapes) else shapes
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise GeometryUnsuitable("The coordinate reference system has no places where some of the polygons are.")
    several = np.empty(len(moved), object)
    several[:] = [shapely.MultiPolygon([shape]) if shape.geom_type == "Polygon" else shape for shape in moved]
    return several


def _kind(values: Sequence[Any]) -> ColumnKind:
    """Return what a column holds of these values."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, bool) for value in there):
        return "truth"
    if there and all(_is_number(value) for value in there):
        return "integer" if all(isinstance(value, int) for value in there) else "number"
    return "text"


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that tables have room for."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 1 << 63
    return isinstance(value, float)


def _texts(values: Sequence[Any]) -> list[str | None]:
    return [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values
    ]


def _free(name: str, taken: set[str]) -> str:
    """Return a name for a column that none of `taken` is, which it then is."""
    # Without what SQLite and the formats end names at.
    named = name.replace("\0", "") or "unnamed"
    offered = chain((named, f"{SENT}{named}"), (f"{SENT}{named}_{number}" for number in count(2)))
    found = next(one for one in offered if one.lower() not in taken)
    taken.add(found.lower())
    return found


def _geometries(shapes: Shapes) -> Iterator[dict[str, Any]]:
    """Yield geometries as GeoJSON: exterior rings against the clock, holes with it, to the centimetre."""
    turned = shapely.orient_polygons(shapes)
    for shape in shapely.transform(turned, lambda places: np.round(places, _DEGREE_DIGITS)):
        yield dict(mapping(shape))
