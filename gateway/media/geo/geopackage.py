"""GeoPackage 1.2: several layers in one file, each with the style that QGIS gives it by itself.

Made with SQLite in memory. GDAL, through pyogrio 0.13, writes a GeoPackage of one layer into memory, and of several
onto a disk alone; here nothing of a caller is written to one.

Specification: https://www.geopackage.org/spec121/.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import shapely

from gateway.media.gdal import contained
from gateway.media.geo.polygons import Shapes
from gateway.media.geo.vector_layers import Column, ColumnKind, VectorLayer, placed

if TYPE_CHECKING:
    from rasterio.crs import CRS

_APPLICATION, _VERSION = 0x47504B47, 10200
# Of all files, so that the same answer has the same bytes.
_DATE = "1980-01-01T00:00:00.000Z"
_KINDS: Mapping[ColumnKind, str] = {"text": "TEXT", "integer": "INTEGER", "number": "REAL", "truth": "BOOLEAN"}
# Codes of EPSG's are below it.
_OWN_CODE = 100_000
_WGS84 = 4326
_UNDEFINED = ((-1, "Undefined Cartesian"), (0, "Undefined geographic"))
# Magic, version, flags: little-endian, with an envelope of x and y; the reference system and the envelope follow.
_HEADER = struct.Struct("<2sBBi4d")
_FLAGS = 0b11

_TABLES = """
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
  z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
  CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
"""
_STYLES = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME);
"""


@dataclass(frozen=True)
class LayerStyle:
    """How a layer is drawn: QGIS' own description, and the one that other systems read."""

    qml: str
    sld: str


def geopackage(layers: Sequence[VectorLayer], crs: CRS, styles: Mapping[str, LayerStyle], description: str) -> bytes:
    """Return layers as a GeoPackage.

    Args:
        layers: of different names, the one first that is to be looked at first.
        crs: coordinate reference system of the file.
        styles: by name of the layer.
        description: of each layer.
    """
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute(f"PRAGMA application_id = {_APPLICATION}")
        file.execute(f"PRAGMA user_version = {_VERSION}")
        file.executescript(_TABLES)
        code = _write_reference_systems(file, crs)
        for layer in layers:
            _write_layer(file, layer, placed(layer.shapes, crs), code, description)
        _write_styles(file, styles)
        file.commit()
        return file.serialize()


def _write_reference_systems(file: sqlite3.Connection, crs: CRS) -> int:
    """Write down those that every file has, and that of this one, and return its number."""
    from rasterio.crs import CRS as Known

    with contained():
        code = crs.to_epsg()
        rows: list[tuple[str, int, str, int, str, str | None]]
        rows = [(name, number, "NONE", number, "undefined", None) for number, name in _UNDEFINED]
        rows.append(_reference_system(Known.from_epsg(_WGS84), _WGS84))
        if code != _WGS84:
            rows.append(_reference_system(crs, code))
    file.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", rows)
    return code or _OWN_CODE


def _reference_system(crs: CRS, code: int | None) -> tuple[str, int, str, int, str, str | None]:
    number, organisation = code or _OWN_CODE, "EPSG" if code else "NONE"
    name = crs.to_dict(projjson=True).get("name", "unknown")
    return name, number, organisation, number, crs.to_wkt(version="WKT1_GDAL"), None


def _write_layer(file: sqlite3.Connection, layer: VectorLayer, shapes: Shapes, code: int, description: str) -> None:
    columns = layer.table()
    fields = "".join(f", {_quoted(column.name)} {_KINDS[column.kind]}" for column in columns)
    table = _quoted(layer.name)
    file.execute(f"CREATE TABLE {table} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom MULTIPOLYGON{fields})")
    shown = shapes[~shapely.is_empty(shapes)]
    bounds = shapely.total_bounds(shown).tolist() if len(shown) else [None] * 4
    file.execute(
        "INSERT INTO gpkg_contents VALUES (?, 'features', ?, ?, ?, ?, ?, ?, ?, ?)",
        (layer.name, layer.name, description, _DATE, *bounds, code),
    )
    file.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'MULTIPOLYGON', ?, 0, 0)", (layer.name, code))
    marks = ", ?" * (1 + len(columns))
    # Names are quoted above; values are bound.
    file.executemany(f"INSERT INTO {table} VALUES (NULL{marks})", _rows(shapes, columns, code))  # noqa: S608


def _rows(shapes: Shapes, columns: Sequence[Column], code: int) -> Iterator[tuple[Any, ...]]:
    blobs = _blobs(shapes, code)
    return zip(blobs, *(column.values for column in columns), strict=True)


def _blobs(shapes: Shapes, code: int) -> Iterator[bytes | None]:
    """Yield geometries as GeoPackage has them; None of what is empty."""
    for shape, (x0, y0, x1, y1) in zip(shapes, shapely.bounds(shapes).reshape(-1, 4).tolist(), strict=True):
        if shape.is_empty:
            yield None
        else:
            yield _HEADER.pack(b"GP", 0, _FLAGS, code, x0, x1, y0, y1) + shapely.to_wkb(shape, byte_order=1)


def _write_styles(file: sqlite3.Connection, styles: Mapping[str, LayerStyle]) -> None:
    file.executescript(_STYLES)
    file.execute(
        "INSERT INTO gpkg_contents VALUES "
        "('layer_styles', 'attributes', 'layer_styles', '', ?, NULL, NULL, NULL, NULL, 0)",
        (_DATE,),
    )
    file.executemany(
        "INSERT INTO layer_styles VALUES (NULL, '', '', ?, 'geom', 'damage', ?, ?, 1, '', '', NULL, ?)",
        [(name, style.qml, style.sld, _DATE) for name, style in styles.items()],
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
