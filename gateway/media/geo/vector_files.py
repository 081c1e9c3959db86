"""FlatGeobuf and GeoParquet of a layer, by libraries that need not be installed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from gateway.errors import Internal
from gateway.media.gdal import contained
from gateway.media.geo.vector_layers import Column, VectorLayer, placed
from gateway.media.quiet import answering

if TYPE_CHECKING:
    from rasterio.crs import CRS

_FAILED = "The layer could not be written."
_WGS84 = 4326
_GEOMETRY = "geometry"
_GEOPARQUET_VERSION = "1.1.0"


def lacks_flatgeobuf() -> str | None:
    """Return why FlatGeobuf cannot be written here; None where it can."""
    if find_spec("pyogrio") is None:
        return "FlatGeobuf is written by pyogrio, which this gateway is installed without (its extra `geo`)."
    return None


def lacks_geoparquet() -> str | None:
    """Return why GeoParquet cannot be written here; None where it can."""
    if find_spec("arro3") is None or find_spec("arro3.io") is None:
        return "GeoParquet is written by arro3-io, which this gateway is installed without (its extra `geo`)."
    return None


def flatgeobuf(layer: VectorLayer, crs: CRS) -> bytes:
    """Return a layer as FlatGeobuf, with a spatial index, in a coordinate reference system."""
    from pyogrio.raw import write

    shapes, columns = placed(layer.shapes, crs), layer.table()
    with contained():
        code, text = crs.to_epsg(), crs.to_wkt()
    target = BytesIO()
    with answering(_FAILED, Internal):
        write(
            target,
            shapely.to_wkb(shapes),
            [_values(column) for column in columns],
            [column.name for column in columns],
            field_mask=[_lacking(column) for column in columns],
            driver="FlatGeobuf",
            layer=layer.name,
            geometry_type="MultiPolygon",
            crs=f"EPSG:{code}" if code else text,
        )
    return target.getvalue()


def geoparquet(layer: VectorLayer, crs: CRS) -> bytes:
    """Return a layer as GeoParquet 1.1, geometries in WKB, in a coordinate reference system."""
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    kinds = {
        "text": DataType.utf8(),
        "integer": DataType.int64(),
        "number": DataType.float64(),
        "truth": DataType.bool(),
    }
    shapes = placed(layer.shapes, crs)
    arrays: dict[str, Any] = {column.name: Array(column.values, type=kinds[column.kind]) for column in layer.table()}
    arrays[_GEOMETRY] = Array(shapely.to_wkb(shapes).tolist(), type=DataType.binary())
    member: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["MultiPolygon"]}
    if len(shapes):
        member["bbox"] = shapely.total_bounds(shapes).tolist()
    with contained():
        if crs.to_epsg() != _WGS84:
            member["crs"] = crs.to_dict(projjson=True)
    described = {"version": _GEOPARQUET_VERSION, "primary_column": _GEOMETRY, "columns": {_GEOMETRY: member}}
    target = BytesIO()
    with answering(_FAILED, Internal):
        write_parquet(Table.from_pydict(arrays), target, key_value_metadata={"geo": json.dumps(described)})
    return target.getvalue()


def _values(column: Column) -> np.ndarray[Any, Any]:
    """Return the values as pyogrio takes them; `_lacking` says which are none."""
    match column.kind:
        case "text":
            return np.array(column.values, object)
        case "integer":
            return np.array([value or 0 for value in column.values], np.int64)
        case "number":
            return np.array([value or 0.0 for value in column.values], np.float64)
        case "truth":
            return np.array([bool(value) for value in column.values], np.bool_)


def _lacking(column: Column) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([value is None for value in column.values], np.bool_)
