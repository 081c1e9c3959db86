"""What a coordinate reference system is made of: its horizontal part, and the datum that it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.media.gdal import contained

if TYPE_CHECKING:
    from rasterio.crs import CRS

Json = dict[str, Any]

# Of the ellipsoids of WGS 84 and GRS 80: datums on them differ by what continents drift, two metres or less.
_RADIUS, _SAME = 6_378_137, 0.5


def horizontal(crs: CRS) -> CRS:
    """Return a coordinate reference system without heights: images have none, and not all are written."""
    parts = _parts(crs)
    if parts.get("type") == "CompoundCRS":
        return _of(parts["components"][0], crs)
    if len(parts.get("coordinate_system", {}).get("axis", ())) == 3:
        return _of(_flat(parts), crs)
    return crs


def old_datum(crs: CRS) -> str | None:
    """Return the name of the datum, where it is not one that fits WGS 84 to a few metres; None where it is."""
    parts = _parts(crs)
    while "base_crs" in parts or "source_crs" in parts:
        parts = parts.get("base_crs") or parts["source_crs"]
    datum: Json = parts.get("datum") or parts.get("datum_ensemble") or {}
    ellipsoid: Json = datum.get("ellipsoid", {})
    radius = ellipsoid.get("semi_major_axis", ellipsoid.get("radius"))
    metres = radius["value"] if isinstance(radius, dict) else radius
    if metres is None or ("radius" not in ellipsoid and abs(metres - _RADIUS) < _SAME):
        return None
    return str(datum.get("name", "of an unknown name"))


def _parts(crs: CRS) -> Json:
    """Return PROJ's description."""
    with contained():
        parts: Json = crs.to_dict(projjson=True)
    return parts


def _flat(parts: Json) -> Json:
    """Return a description without the third axis, and without the codes that stand for all three."""
    flat = {key: value for key, value in parts.items() if key != "id"}
    system = parts.get("coordinate_system")
    if system:
        flat["coordinate_system"] = system | {"axis": system["axis"][:2]}
    if "base_crs" in parts:
        flat["base_crs"] = _flat(parts["base_crs"])
    return flat


def _of(parts: Json, instead: CRS) -> CRS:
    """Return the reference system of a description; where PROJ does not take it, another."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    with contained():
        try:
            return CRS.from_dict(parts)
        except CRSError:
            return instead
