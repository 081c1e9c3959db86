"""Buildings in the JSON of the xBD dataset: parallel lists in degrees and in pixels, polygons as WKT.

Pixel coordinates are those of `georeference`: they count from the corner of the top left pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

import shapely
from shapely.geometry.base import BaseGeometry

from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.vectors import lon_lat_outlines, outlines
from gateway.vision.regions import Region

# Of the UUIDs that buildings get: the same answer to the same images has the same.
_NAMESPACE = UUID("5b0a7c3e-0d56-4d0e-8a3c-3c1f6f3f1c55")
_PIXEL_DIGITS, _DEGREE_DIGITS = 2, 9
_BATCH = 512


def xbd_document(
    buildings: Sequence[Region],
    grid: GeoGrid | None,
    subtypes: Mapping[int, str],
    metadata: Mapping[str, Any],
    digest: str,
) -> Iterator[bytes]:
    """Yield the pieces of one xBD label file.

    Args:
        buildings: in any order, which both lists keep.
        grid: of the pre-disaster image; None leaves the list in degrees empty.
        subtypes: xBD's names of damage by label value; buildings of other values have no subtype, as before a disaster.
        metadata: members of ``metadata``; JSON values.
        digest: of the images, which the buildings' ``uid`` are made from.
    """
    yield b'{"features": {"lng_lat": ['
    if grid is not None:
        for start in range(0, len(buildings), _BATCH):
            batch = buildings[start : start + _BATCH]
            shapes = lon_lat_outlines(outlines(batch), grid)
            yield _entries(start, batch, shapes, _DEGREE_DIGITS, subtypes, digest)
    yield b'], "xy": ['
    for start in range(0, len(buildings), _BATCH):
        batch = buildings[start : start + _BATCH]
        yield _entries(start, batch, outlines(batch), _PIXEL_DIGITS, subtypes, digest)
    yield b']}, "metadata": ' + json.dumps(dict(metadata)).encode() + b"}\n"


def xbd_metadata(width: int, height: int, grid: GeoGrid | None) -> dict[str, Any]:
    """Return what is known of the members of ``metadata``: sizes in pixels and the ground sample distance in metres."""
    sizes = {"width": width, "height": height, "original_width": width, "original_height": height}
    return sizes if grid is None else {**sizes, "gsd": round((grid.gsd[0] * grid.gsd[1]) ** 0.5, 6)}


def _entries(
    start: int,
    batch: Sequence[Region],
    shapes: Sequence[BaseGeometry],
    digits: int,
    subtypes: Mapping[int, str],
    digest: str,
) -> bytes:
    entries = []
    for number, (building, shape) in enumerate(zip(batch, shapes, strict=True), start):
        properties = {"feature_type": "building", "uid": str(uuid5(_NAMESPACE, f"{digest}/{number}"))}
        if building.value in subtypes:
            properties["subtype"] = subtypes[building.value]
        wkt = shapely.to_wkt(shape, rounding_precision=digits, trim=True)
        entries.append(json.dumps({"properties": properties, "wkt": wkt}))
    return (", " * (start > 0) + ", ".join(entries)).encode()
