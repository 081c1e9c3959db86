"""What a caller says of a raster where the file itself says nothing, or something wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

from gateway.errors import ParameterInvalid
from gateway.media.gdal import reading_raster

if TYPE_CHECKING:
    from rasterio.crs import CRS

_BANDS = re.compile(r"\d{1,2}(?:,\d{1,2}){0,3}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_BOX = re.compile(rf"(?:{_NUMBER.pattern},){{3}}{_NUMBER.pattern}")
_HALF_TURN = 180
_EPSG = re.compile(r"(?:EPSG:)?(\d{4,6})", re.IGNORECASE)


Box = tuple[float, float, float, float]
"""West, south, east and north in degrees of WGS 84; west is above east where the antimeridian lies between."""


@dataclass(frozen=True)
class Reading:
    """How a raster is to be read; it goes before what the file declares.

    Attributes:
        bands: numbers of the red, green and blue band, from 1; of one grey band alone; None: as the file has it.
        nodata: sample that all of these bands have where nothing was observed; may be NaN; None: as the file has it.
        crs: coordinate reference system of the file's transform; None: as the file has it.
    """

    bands: tuple[int, ...] | None = None
    nodata: float | None = None
    crs: CRS | None = None


AS_DECLARED = Reading()
"""Nothing is said by the caller."""


def parse_bands(text: str) -> tuple[int, ...]:
    """Return band numbers of a text such as ``3,2,1`` or ``4``.

    Raises:
        ParameterInvalid: not one number from 1, or three.
    """
    numbers = tuple(map(int, text.split(","))) if _BANDS.fullmatch(text) else ()
    if len(numbers) not in (1, 3) or 0 in numbers:
        raise ParameterInvalid("Bands are numbers from 1: that of a grey band, or red, green and blue, as in 3,2,1.")
    return numbers


def parse_nodata(text: str) -> float:
    """Return the number of a text such as ``-9999``, ``-3.4028235e38`` or ``nan``.

    Raises:
        ParameterInvalid: neither a number nor ``nan``.
    """
    if text.lower() == "nan":
        return nan
    if not _NUMBER.fullmatch(text):
        raise ParameterInvalid("Nodata is one number, or nan.")
    return float(text)


def parse_box(text: str) -> Box:
    """Return the box of a text such as ``-94.53,37.04,-94.51,37.06``.

    Raises:
        ParameterInvalid: not four numbers, or none of degrees from west to east and south to north; or west is east of
            east, and the antimeridian does not lie between them on the shorter way.
    """
    west, south, east, north = map(float, text.split(",")) if _BOX.fullmatch(text) else (0.0, 0.0, 0.0, 0.0)
    if not (-180 <= west <= 180 and -180 <= east <= 180 and west != east and -90 <= south < north <= 90):
        raise ParameterInvalid("A box is west,south,east,north in degrees, as in -94.53,37.04,-94.51,37.06.")
    if west - east > _HALF_TURN or west < east:
        return west, south, east, north
    raise ParameterInvalid(
        "A box is west,south,east,north, and this one's west lies east of its east. Across the antimeridian, "
        "where that is so, a box is less than 180 degrees wide."
    )


def parse_crs(text: str) -> CRS:
    """Return the coordinate reference system of a text such as ``EPSG:32633``.

    Raises:
        ParameterInvalid: not a code of EPSG's, or one that is not known here.
    """
    found = _EPSG.fullmatch(text)
    if found is None:
        raise ParameterInvalid("A coordinate reference system is named by its code, as EPSG:32633.")
    # By number alone: GDAL would also take the path or the address of a file.
    with reading_raster(f"EPSG has no coordinate reference system {found[1]} that is known here.", ParameterInvalid):
        from rasterio.crs import CRS

        return CRS.from_epsg(int(found[1]))
