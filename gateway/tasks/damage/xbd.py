"""What the xView2 contest reads: buildings as xBD's own JSON, and the pair of PNGs that it scores."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Literal
from uuid import UUID, uuid5

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.polygons import Shapes
from gateway.media.geo.vectors import lon_lat_outlines
from gateway.media.pictures.png import grey_png

# Of the UUIDs that buildings get: the same answer to the same images has the same.
_NAMESPACE = UUID("5b0a7c3e-0d56-4d0e-8a3c-3c1f6f3f1c55")
_PIXEL_DIGITS, _DEGREE_DIGITS = 2, 9
_BATCH = 512

UInt8 = npt.NDArray[np.uint8]

Split = Literal["test", "hold"]

# The parts of a zip carry this date, so that the same answer has the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)

_LOCALISATION, _DAMAGE = np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8)

_LOCALISATION[1:] = 1

_LOCALISATION[NOT_OBSERVED] = _DAMAGE[NOT_OBSERVED] = 0


def xbd_document(
    shapes: Shapes,
    values: Sequence[int],
    grid: GeoGrid | None,
    subtypes: Mapping[int, str],
    metadata: Mapping[str, Any],
    digest: str,
) -> Iterator[bytes]:
    """Yield the pieces of one xBD label file.

    Args:
        shapes: of buildings in pixels of `georeference`, in any order, which both lists keep.
        values: label values of these.
        grid: of the pre-disaster image; None leaves the list in degrees empty.
        subtypes: xBD's names of damage by label value; buildings of other values have no subtype, as before a disaster.
        metadata: members of ``metadata``; JSON values.
        digest: of the images, which the buildings' ``uid`` are made from.
    """
    yield b'{"features": {"lng_lat": ['
    if grid is not None:
        for start in range(0, len(shapes), _BATCH):
            placed = lon_lat_outlines(shapes[start : start + _BATCH], grid)
            yield _entries(start, values, placed, _DEGREE_DIGITS, subtypes, digest)
    yield b'], "xy": ['
    for start in range(0, len(shapes), _BATCH):
        yield _entries(start, values, shapes[start : start + _BATCH], _PIXEL_DIGITS, subtypes, digest)
    yield b']}, "metadata": ' + json.dumps(dict(metadata)).encode() + b"}\n"


def xbd_metadata(width: int, height: int, grid: GeoGrid | None) -> dict[str, Any]:
    """Return what is known of the members of ``metadata``: sizes in pixels and the ground sample distance in metres."""
    sizes = {"width": width, "height": height, "original_width": width, "original_height": height}
    return sizes if grid is None else {**sizes, "gsd": round((grid.gsd[0] * grid.gsd[1]) ** 0.5, 6)}


def _entries(
    start: int,
    values: Sequence[int],
    shapes: Iterable[BaseGeometry],
    digits: int,
    subtypes: Mapping[int, str],
    digest: str,
) -> bytes:
    entries = []
    for number, shape in enumerate(shapes, start):
        properties = {"feature_type": "building", "uid": str(uuid5(_NAMESPACE, f"{digest}/{number}"))}
        if values[number] in subtypes:
            properties["subtype"] = subtypes[values[number]]
        wkt = shapely.to_wkt(shape, rounding_precision=digits, trim=True)
        entries.append(json.dumps({"properties": properties, "wkt": wkt}))
    return (", " * (start > 0) + ", ".join(entries)).encode()


def xview2_zip(
    width: int, height: int, bands: Callable[[], Iterable[UInt8]], split: Split = "test", number: int = 0
) -> bytes:
    """Return a zip of two grey PNGs of 8 bits: ``<split>_localization_<number>_prediction.png``, 0 and 1, and
    ``<split>_damage_<number>_prediction.png``, 0 to 4. What was not observed is 0 in both, as the contest has no other.

    Args:
        width: pixels across.
        height: pixels down.
        bands: gives the rows of the label map from top to bottom, uint8 (n, width), each time it is called.
        split: of the contest's data.
        number: of the pair in it, 0 to 99,999.
    """
    body = BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for kind, table in (("localization", _LOCALISATION), ("damage", _DAMAGE)):
            scanlines = (_scanlines(band, table) for band in bands())
            name = zipfile.ZipInfo(f"{split}_{kind}_{number:05d}_prediction.png", _DATE)
            archive.writestr(name, grey_png(width, height, scanlines))
    return body.getvalue()


def _scanlines(band: UInt8, table: UInt8) -> UInt8:
    scanlines = np.zeros((band.shape[0], band.shape[1] + 1), np.uint8)
    scanlines[:, 1:] = cv2.LUT(band, table)
    return scanlines
