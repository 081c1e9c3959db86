"""Polygons that a caller sends along with images: GeoJSON feature collections of districts or of footprints.

They are in WGS 84. An older collection may name another coordinate reference system by its EPSG code, in the member
``crs`` of GeoJSON 2008. Of images that lie nowhere on Earth they are in pixels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from gateway.errors import TooLarge, Unprocessable
from gateway.media.gdal import contained
from gateway.media.geo.georeference import lon_lat_crs, transformed
from gateway.media.quiet import answering

if TYPE_CHECKING:
    from rasterio.crs import CRS

Shapes = npt.NDArray[np.object_]

_EPSG = re.compile(r"(?:urn:ogc:def:crs:EPSG:[0-9.]*:|EPSG:)([0-9]{4,6})", re.IGNORECASE)
_CRS84 = re.compile(r"urn:ogc:def:crs:OGC:[0-9.]*:CRS84", re.IGNORECASE)
# A centimetre or ten: what rounding and reprojecting put beyond the edge of the Earth.
_BEYOND = 1e-6
# An exponent that may lead to infinity, half of a character, and how deep what is sent with a polygon may be nested.
_HUGE, _SURROGATE = re.compile(rb"[eE]\+?[0-9]{3}"), re.compile(rb"\\u[dD][89a-fA-F]")
_DEEPEST = 32


@dataclass(frozen=True)
class PolygonKind:
    """What the polygons of a collection are, and which collections are served.

    Attributes:
        noun: what one is called.
        invalid: raised where they are no such polygons.
        too_large: raised where there are too many.
        most: features.
        size: bytes of text.
        lists: points, rings and features; each takes three bytes of text and 64 of memory, empty ones too.
    """

    noun: str
    invalid: type[Unprocessable]
    too_large: type[TooLarge]
    most: int
    size: int
    lists: int = 1 << 20


@dataclass(frozen=True)
class SentPolygon:
    """One feature of a collection.

    Attributes:
        id: the feature's, as it has it; else its number from 0.
        properties: as they were sent.
        shape: polygon or polygons, in longitude and latitude; in pixels where the images lie nowhere.
    """

    id: str | int
    properties: Mapping[str, Any]
    shape: BaseGeometry


@dataclass(frozen=True)
class SentPolygons:
    """The features that have an area, in the order of the collection, and what the caller should know of the others."""

    polygons: tuple[SentPolygon, ...]
    notices: tuple[str, ...]


def read_polygons(data: bytes | memoryview, kind: PolygonKind, *, on_earth: bool = True) -> SentPolygons:
    """Return the polygons of a collection; outlines that cross themselves are repaired, features without any left out.

    Args:
        data: GeoJSON.
        kind: what they are.
        on_earth: whether coordinates are longitudes and latitudes; else they are pixels, of `georeference`.

    Raises:
        MaskgateError: `kind.invalid`: not GeoJSON, not polygons, not on Earth, none with an area; `pointer` says where.
            `kind.too_large`: more of them, or of bytes, than `kind` has.
    """
    noun, invalid = kind.noun, kind.invalid
    layer = _collection(data, kind)
    features = layer["features"]
    crs = _crs(layer.get("crs"), kind)
    if crs is not None and not on_earth:
        raise invalid(f"The {noun}s name a place on Earth, and the images have none; send pixels.", pointer="/crs")
    kept = [number for number, feature in enumerate(features) if _has_geometry(feature, number, kind)]
    found = np.array([_shape(features[number], number, kind) for number in kept], object)
    found = shapely.force_2d(found)
    if crs is not None and len(found):
        found = shapely.transform(found, lambda points: transformed(crs, lon_lat_crs(), points))
    if on_earth and len(found):
        found = shapely.transform(found, _to_edge)
    bounds = shapely.bounds(found).reshape(-1, 4)
    edge = np.array([180, 90]) if on_earth else np.array([np.finfo(np.float32).max] * 2)
    # Of nothing bounds are no numbers, and of what is no number neither.
    within = shapely.is_empty(found) | ((bounds[:, :2] >= -edge) & (bounds[:, 2:] <= edge)).all(axis=1)
    if not within.all():
        pointer = f"/features/{kept[int(within.argmin())]}"
        if on_earth:
            detail = (
                f"A {noun} lies beyond the longitudes and latitudes of WGS 84; GeoJSON has longitude before latitude."
            )
        else:
            detail = f"A {noun} has coordinates that are no pixels."
        raise invalid(detail, pointer=pointer)
    crossed = ~shapely.is_valid(found)
    if crossed.any():
        found[crossed] = shapely.make_valid(found[crossed], method="structure", keep_collapsed=False)
    filled = shapely.area(found) > 0
    polygons = (
        tuple(
            _sent(features[number], int(number), outline, kind)
            for number, outline in zip(np.array(kept)[filled], found[filled], strict=True)
        )
        if len(found)
        else ()
    )
    if not polygons:
        raise invalid(f"None of the {noun}s has an area.", pointer="/features")
    said = []
    if lacking := len(features) - len(polygons):
        said.append(f"{lacking} {noun}s without an area are left out")
    if repaired := int(np.count_nonzero(crossed & filled)):
        said.append(f"{repaired} {noun}s whose outlines cross themselves were repaired")
    return SentPolygons(polygons, tuple(said))


def _collection(data: bytes | memoryview, kind: PolygonKind) -> dict[str, Any]:
    """Return a feature collection of at least one feature, and of no more than are served."""
    noun = kind.noun
    if len(data) > kind.size:
        raise kind.too_large(f"The {noun}s may have {kind.size:,} bytes.", limit=kind.size)
    text = bytes(data)
    if text.count(b"[") + text.count(b"{") > kind.lists:
        raise kind.too_large(f"The {noun}s may have {kind.lists:,} points in all.", limit=kind.lists)
    none = f"The {noun}s are not a GeoJSON feature collection."
    with answering(none, kind.invalid):
        layer = _loaded(text)
    features = layer.get("features") if isinstance(layer, dict) else None
    if not (isinstance(features, list) and layer.get("type") == "FeatureCollection"):
        raise kind.invalid(none)
    if not features:
        raise kind.invalid(f"The {noun}s are an empty collection.", pointer="/features")
    if len(features) > kind.most:
        raise kind.too_large(f"There are {len(features):,} {noun}s; {kind.most:,} are served.", limit=kind.most)
    return dict(layer)


def _loaded(text: bytes) -> Any:
    """Return what a JSON text says, without what JSON has no words for: it comes back to the caller."""
    layer = json.loads(text, parse_constant=_nothing, parse_float=_finite if _HUGE.search(text) else None)
    if _SURROGATE.search(text):
        # Half a character, written as an escape, is one that cannot be written again.
        layer = json.loads(json.dumps(layer, ensure_ascii=False).encode("utf-8", "replace"))
    return layer


def _nothing(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def _deep(value: Any, depth: int = 0) -> bool:
    """Return whether a value is nested deeper than can be written again."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > _DEEPEST or any(_deep(one, depth + 1) for one in inner)


def _has_geometry(feature: Any, number: int, kind: PolygonKind) -> bool:
    with answering(_no_feature(kind), kind.invalid, f"/features/{number}"):
        return feature["geometry"] is not None


def _shape(feature: Any, number: int, kind: PolygonKind) -> BaseGeometry:
    pointer = f"/features/{number}"
    with answering(_no_feature(kind), kind.invalid, pointer):
        geometry = feature["geometry"]
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise kind.invalid(f"A {kind.noun} is something other than a polygon.", pointer=pointer)
        return shape(geometry)


def _no_feature(kind: PolygonKind) -> str:
    return f"A {kind.noun} is not a GeoJSON feature with a polygon."


def _sent(feature: Mapping[str, Any], number: int, outline: BaseGeometry, kind: PolygonKind) -> SentPolygon:
    identity, properties = feature.get("id"), feature.get("properties")
    if _deep(properties):
        detail = f"A {kind.noun} has properties nested deeper than {_DEEPEST}."
        raise kind.invalid(detail, pointer=f"/features/{number}/properties")
    known = identity if isinstance(identity, str | int) else number
    return SentPolygon(known, properties if isinstance(properties, dict) else {}, outline)


def _to_edge(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return longitudes and latitudes with what is beyond the edge by no more than rounding brought onto it."""
    edge = np.array([180.0, 90.0])
    clipped: npt.NDArray[np.float64] = np.where(np.abs(places) <= edge + _BEYOND, np.clip(places, -edge, edge), places)
    return clipped


def _crs(member: Any, kind: PolygonKind) -> CRS | None:
    """Return the coordinate reference system that a collection names; None: WGS 84."""
    if member is None:
        return None
    with answering(f"The {kind.noun}s' crs is not a name of EPSG's.", kind.invalid, "/crs"):
        from rasterio.crs import CRS

        name = member["properties"]["name"]
        if _CRS84.fullmatch(name):
            return None
        # By number alone: GDAL would also take the path or the address of a file.
        code = int(_EPSG.fullmatch(name)[1])  # type: ignore[index]
        with contained():
            return CRS.from_epsg(code)
