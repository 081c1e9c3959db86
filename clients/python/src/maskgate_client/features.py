"""GeoJSON features as a GeoPackage."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

LAYER = "buildings"

# The newest that GIS of some years ago reads without complaint; nothing of later ones is used.
_VERSION = "1.2"


class PyogrioMissing(RuntimeError):
    """The library that writes GeoPackage is not installed."""

    def __init__(self) -> None:
        """Say how to have it."""
        super().__init__("GeoPackage is written by pyogrio: pip install 'maskgate-client[geo]'")


def require_pyogrio() -> None:
    """Make sure that GeoPackage can be written, before long work for it begins.

    Raises:
        PyogrioMissing: it cannot.
    """
    try:
        import pyogrio  # noqa: F401
    except ImportError as error:
        raise PyogrioMissing from error


def write_geopackage(geojson: bytes, path: Path) -> None:
    """Write a GeoJSON feature collection of polygons as a layer of a GeoPackage, in WGS 84 as it is.

    Args:
        geojson: with the same properties in all features.
        path: of the file, which is replaced.

    Raises:
        PyogrioMissing: see `require_pyogrio`.
        OSError: it cannot be written.
    """
    require_pyogrio()
    from pyogrio.errors import DataSourceError
    from pyogrio.raw import read, write

    meta, _, geometry, columns = read(BytesIO(geojson))
    path.unlink(missing_ok=True)
    try:
        write(
            str(path),
            geometry,
            columns,
            meta["fields"],
            layer=LAYER,
            driver="GPKG",
            geometry_type="MultiPolygon",
            promote_to_multi=True,
            crs="EPSG:4326",
            dataset_options={"VERSION": _VERSION},
        )
    except DataSourceError as error:
        raise OSError(f"{path} cannot be written") from error
