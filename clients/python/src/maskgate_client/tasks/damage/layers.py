"""Buildings as a layer of any vector format that pyogrio writes."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

_FIELDS = {"class": "object", "value": "int32", "confidence": "float64", "area_m2": "float64", "pixels": "int64"}
_DISTRICT = "district"
# Tables have no room for polygons, and .json is the report's.
_UNFIT = frozenset({".csv", ".tsv", ".xlsx", ".xls", ".ods", ".json"})


class PyogrioMissing(RuntimeError):
    """The library that writes layers is not installed."""

    def __init__(self) -> None:
        """Say how to have it."""
        super().__init__("layers of this format are written by pyogrio: pip install 'maskgate-client[geo]'")


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
    """Return whether pyogrio, where it is there, writes a layer of polygons into a file of this ending."""
    ending = path.suffix.lower()
    if ending in _UNFIT:
        return False
    try:
        from pyogrio import detect_write_driver
    except ImportError:
        # What it would write is not known; that it is needed is said before the work begins.
        return True
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
    fields = dict.fromkeys(_FIELDS) | ({} if collection.get("districts") is None else {_DISTRICT: None})
    geometry: Any = np.array([], object)
    if features:
        # What is no buildings has no geometry to be read.
        meta, _, geometry, columns = read(BytesIO(geojson))
        fields |= dict(zip(meta["fields"], columns, strict=True))
    # Columns of nothing but null are text to whoever reads GeoJSON.
    for name, kind in (_FIELDS | {_DISTRICT: "object"}).items():
        if name in fields:
            fields[name] = np.array([_value(one, name) for one in features], kind)
    driver = detect_write_driver(f"a{path.suffix.lower()}")
    path.unlink(missing_ok=True)
    try:
        write(
            str(path),
            geometry,
            list(fields.values()),
            list(fields),
            driver=driver,
            geometry_type="MultiPolygon",
            promote_to_multi=True,
            crs="EPSG:4326",
        )
    except (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError) as error:
        raise OSError(f"{path} cannot be written") from error


def _value(feature: dict[str, Any], name: str) -> Any:
    """Return a property; of a district its id as text, whether it is one or a number; 0 for no number."""
    value = feature["properties"].get(name)
    if name == _DISTRICT and value is not None:
        return str(value)
    return 0 if value is None and _FIELDS.get(name, "").startswith("int") else value
