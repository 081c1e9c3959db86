"""Buildings as a layer of any vector format that pyogrio writes."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

LAYER = "buildings"

_FIELDS = {"class": "object", "value": "int32", "confidence": "float64", "area_m2": "float64", "pixels": "int64"}
_DISTRICT = "district"
# Tables have no room for polygons, and .json is the report's.
_UNFIT = frozenset({".csv", ".tsv", ".xlsx", ".xls", ".ods", ".json"})
# The newest GeoPackage that GIS of some years ago reads without complaint; nothing of later ones is used.
_OPTIONS = {"GPKG": {"VERSION": "1.2"}}


class PyogrioMissing(RuntimeError):
    """The library that writes layers is not installed."""

    def __init__(self) -> None:
        """Say how to have it."""
        super().__init__("GeoPackage is written by pyogrio: pip install 'maskgate-client[geo]'")


def require_pyogrio() -> None:
    """Make sure that layers can be written, before long work for one begins.

    Raises:
        PyogrioMissing: they cannot.
    """
    try:
        import pyogrio  # noqa: F401
    except ImportError as error:
        raise PyogrioMissing from error


def writable(path: Path) -> bool:
    """Return whether a file of this ending can be a layer of polygons; without pyogrio, whether it is a GeoPackage."""
    ending = path.suffix.lower()
    if ending in _UNFIT:
        return False
    try:
        from pyogrio import detect_write_driver
    except ImportError:
        return ending == ".gpkg"
    try:
        return bool(detect_write_driver(f"a{ending}"))
    except ValueError:
        return False


def write_layer(geojson: bytes, path: Path) -> None:
    """Write a GeoJSON feature collection of buildings as a layer in WGS 84, with the same columns even of none.

    Args:
        geojson: as the gateway answers.
        path: of the file, which is replaced; its ending says the format.

    Raises:
        OSError: it cannot be written.
    """
    import numpy as np
    from pyogrio import detect_write_driver
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
    from pyogrio.raw import read, write

    collection: dict[str, Any] = json.loads(geojson)
    features = collection["features"]
    fields = dict(_FIELDS)
    if collection.get("districts") is not None:
        fields[_DISTRICT] = "object"
    # What is no buildings has no geometry to be read.
    geometry = read(BytesIO(geojson), columns=[])[2] if features else np.array([], object)
    columns = [np.array([_value(one, name) for one in features], kind) for name, kind in fields.items()]
    driver = detect_write_driver(f"a{path.suffix.lower()}")
    path.unlink(missing_ok=True)
    try:
        write(
            str(path),
            geometry,
            columns,
            list(fields),
            layer=LAYER if driver == "GPKG" else None,
            driver=driver,
            geometry_type="MultiPolygon",
            promote_to_multi=True,
            crs="EPSG:4326",
            dataset_options=_OPTIONS.get(driver),
        )
    except (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError) as error:
        raise OSError(f"{path} cannot be written") from error


def _value(feature: dict[str, Any], name: str) -> Any:
    """Return a property; of a district its id as text, whether it is one or a number."""
    value = feature["properties"].get(name)
    return str(value) if name == _DISTRICT and value is not None else value
