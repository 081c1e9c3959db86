"""Where images lie on the Earth, and annotations as GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from maskgate_client.annotations.objects import AnnotatedImage, Annotation

Points = NDArray[np.float64]
"""Float64, (N, 2)."""

TIFF = (".tif", ".tiff")
_SCALE, _TIES, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_RASTER_TYPE, _POINT, _GEOGRAPHIC, _PROJECTED, _OWN = 1025, 2, 2048, 3072, 32767
_DECIMALS = 9
"""Of a degree: a tenth of a millimetre."""


class NotGeoreferencedError(ValueError):
    """Nothing says where the image lies, or not in a way that is known here."""


@dataclass(frozen=True)
class Georeference:
    """Where an image lies.

    Attributes:
        crs: its coordinate reference system, as pyproj takes it: ``EPSG:32633``, or WKT.
        affine: a, b, c, d, e, f: the place of the corner (x, y) of a pixel is (a·x + b·y + c, d·x + e·y + f).
    """

    crs: str
    affine: tuple[float, float, float, float, float, float]

    def degrees(self, points: Points) -> Points:
        """Return longitude and latitude of WGS 84 of points of the image.

        Raises:
            ImportError: pyproj is not installed; maskgate-client[geo] brings it.
            NotGeoreferencedError: its coordinate reference system is none that pyproj knows, or does not reach there.
        """
        from pyproj import Transformer
        from pyproj.exceptions import ProjError

        a, b, c, d, e, f = self.affine
        x, y = points.T
        try:
            turn = Transformer.from_crs(self.crs, "OGC:CRS84", always_xy=True)
            east, north = turn.transform(a * x + b * y + c, d * x + e * y + f, errcheck=True)
        except ProjError as error:
            raise NotGeoreferencedError(f"no degrees can be told: {error}") from error
        return np.stack([east, north], axis=1)


def georeference(path: Path, crs: str | None = None) -> Georeference:
    """Return where an image file lies.

    A TIFF says so itself. Beside a PNG or JPEG there is a world file (``.pgw``, ``.jgw``, ``.wld`` …), and a ``.prj``
    or GDAL's ``.aux.xml`` with the coordinate reference system.

    Args:
        path: of the image.
        crs: its coordinate reference system, where it does not say, or says wrong.

    Raises:
        OSError: it cannot be read.
        NotGeoreferencedError: nothing says so.
    """
    said, affine = _of_tiff(path) if path.suffix.lower() in TIFF else _beside(path)
    if affine is None:
        raise NotGeoreferencedError(f"{path}: nothing says where it lies: it is no GeoTIFF, and has no world file")
    if not (crs or said):
        raise NotGeoreferencedError(f"{path}: nothing says in which coordinate reference system it lies; --crs does")
    return Georeference(crs or said, affine)


Told = tuple[str, tuple[float, float, float, float, float, float] | None]


def _of_tiff(path: Path) -> Told:
    from PIL import Image

    with Image.open(path) as image:
        tags = dict(getattr(image, "tag_v2", {}))
    keys = np.array(tags.get(_KEYS, ()), int)[4:].reshape(-1, 4)
    # Values that lie in another tag are no codes.
    told = {int(key): int(value) for key, where, _, value in keys if where == 0}
    code = told.get(_PROJECTED, told.get(_GEOGRAPHIC, _OWN))
    crs = f"EPSG:{code}" if code != _OWN else ""
    if _MATRIX in tags:
        a, b, _, c, d, e, _, f, *_ = tags[_MATRIX]
    elif _SCALE in tags and _TIES in tags:
        (a, down, *_), (i, j, _, x, y, *_) = tags[_SCALE], tags[_TIES]
        b, c, d, e, f = 0.0, x - i * a, 0.0, -down, y + j * down
    else:
        return crs, None
    half = 0.5 if told.get(_RASTER_TYPE) == _POINT else 0.0
    return crs, (a, b, c - half * (a + b), d, e, f - half * (d + e))


def _beside(path: Path) -> Told:
    letters = path.suffix.lower().lstrip(".")
    endings = (f".{letters[:1]}{letters[-1:]}w", f".{letters}w", ".wld")
    world = next((file for ending in endings if (file := path.with_suffix(ending)).is_file()), None)
    said = _crs_beside(path)
    if world is None:
        return said, None
    try:
        a, d, b, e, c, f = map(float, world.read_text("ascii").split())
    except ValueError:
        raise NotGeoreferencedError(f"{world}: a world file has six numbers") from None
    # A world file has the centre of the first pixel.
    return said, (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)


def _crs_beside(path: Path) -> str:
    prj, aux = path.with_suffix(".prj"), path.with_name(f"{path.name}.aux.xml")
    if prj.is_file():
        return prj.read_text("utf-8").strip()
    if aux.is_file():
        try:
            return (Xml.parse(aux).findtext("SRS") or "").strip()  # noqa: S314  # the caller's own file
        except Xml.ParseError as error:
            raise NotGeoreferencedError(f"{aux}: {error}") from error
    return ""


def geojson(image: AnnotatedImage, place: Georeference) -> bytes:
    """Return the objects of an image as GeoJSON (RFC 7946): a feature each, in degrees of WGS 84.

    Raises:
        ImportError, NotGeoreferencedError: as of `Georeference.degrees`.
    """
    features = [
        {
            "type": "Feature",
            "id": number,
            "properties": {
                "label": each.label,
                "image": image.name,
                "pixels": each.area,
                **({} if each.score is None else {"score": each.score}),
            },
            "geometry": _geometry(each, place),
        }
        for number, each in enumerate(image.annotations, start=1)
    ]
    return (json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False) + "\n").encode()


def _geometry(each: Annotation, place: Georeference) -> dict[str, Any]:
    parts = [
        [_ring(place.degrees(np.array(ring, np.float64)), outer=not number) for number, ring in enumerate(rings)]
        for rings in each.parts
    ]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _ring(corners: Points, *, outer: bool) -> list[Sequence[float]]:
    """Return a closed ring: outlines run against the clock, holes with it."""
    x, y = (corners - corners[0]).T
    leftwards = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) > 0
    turned = corners if leftwards is outer else corners[::-1]
    ring: list[Sequence[float]] = np.round(turned, _DECIMALS).tolist()
    return [*ring, ring[0]]
