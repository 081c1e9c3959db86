"""Where the pixels of a raster lie on Earth.

Pixel coordinates here are GDAL's: (x, y) from the top left *corner* of the top left pixel, x across and y down, so that
its centre is (0.5, 0.5). Longitudes and latitudes are WGS 84 degrees, in this order.

Metres are those of a plane of its own per raster: Lambert's azimuthal equal-area projection of the WGS 84 ellipsoid
about the raster's centre. Areas in it are exact; lengths are to within 10⁻⁶ over 10 km.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from gateway.errors import GeometryUnsuitable
from gateway.media.gdal import reading_raster

if TYPE_CHECKING:
    from rasterio.crs import CRS

Float64 = npt.NDArray[np.float64]
LonLat = tuple[float, float]

_STEPS_PER_SIDE = 16
_NOT_ON_EARTH = "The file's coordinate reference system and transform put its pixels where no point of the Earth is."


@dataclass(frozen=True)
class GeoGrid:
    """The pixel grid of a georeferenced raster; it may be rotated or sheared, and north need not be up.

    Attributes:
        crs: coordinate reference system.
        affine: pixel coordinates to those of `crs`, x before y (longitude before latitude).
        width: pixels across.
        height: pixels down.
    """

    crs: CRS
    affine: Affine
    width: int
    height: int

    @property
    def is_rotated(self) -> bool:
        """Return whether rows run other than along the first axis of `crs`."""
        return bool(self.affine.b or self.affine.d)

    def to_lon_lat(self, points: npt.ArrayLike) -> Float64:
        """Return longitudes, −180 … 180, and latitudes, float64 (N, 2), of pixel coordinates, (N, 2).

        Raises:
            GeometryUnsuitable: a point lies where the coordinate reference system has none of the Earth.
        """
        places = transformed(self.crs, lon_lat_crs(), self._placed(points))
        if not (np.isfinite(places).all() and (np.abs(places[:, 1]) <= 90 + 1e-9).all()):
            raise GeometryUnsuitable(_NOT_ON_EARTH)
        # The antimeridian stays on the side that it was reached from: an image may end there.
        beyond = np.abs(places[:, 0]) > 180 + 1e-9
        places[beyond, 0] = (places[beyond, 0] + 180) % 360 - 180
        places[:, 0] = places[:, 0].clip(-180, 180)
        return places

    def from_lon_lat(self, places: npt.ArrayLike) -> Float64:
        """Return pixel coordinates, float64 (N, 2), of longitudes and latitudes, (N, 2).

        Places that the coordinate reference system cannot hold are infinite. In degrees the turn is taken that is
        nearest to the centre.
        """
        return self.pixels_at(transformed(lon_lat_crs(), self.crs, np.asarray(places, np.float64)))

    def pixels_at(self, points: Float64) -> Float64:
        """Return pixel coordinates of points of `crs`, both float64 (N, 2), with turns as in `from_lon_lat`."""
        if self.crs.is_geographic:
            middle = self._placed([(self.width / 2, self.height / 2)])[0]
            with np.errstate(invalid="ignore"):
                turned = middle[0] + (points[:, 0] - middle[0] + 180) % 360 - 180
            points = np.stack([turned, points[:, 1]], axis=1)
        return applied(~self.affine, points)

    @cached_property
    def centre(self) -> LonLat:
        """Longitude and latitude of the middle."""
        longitude, latitude = self.to_lon_lat([(self.width / 2, self.height / 2)])[0].tolist()
        return longitude, latitude

    @cached_property
    def footprint(self) -> tuple[LonLat, ...]:
        """The outline, closed, with points between the corners; longitudes go on beyond ±180 rather than jump.

        Raises:
            GeometryUnsuitable: a pole lies inside, around which no outline in degrees closes.
        """
        along = np.linspace(0, 1, _STEPS_PER_SIDE, endpoint=False)
        corners = np.array([(0, 0), (0, self.height), (self.width, self.height), (self.width, 0)], np.float64)
        sides = [a + along[:, None] * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
        outline = self.to_lon_lat(np.concatenate([*sides, corners[:1]]))
        outline[:, 0] = np.unwrap(outline[:, 0], period=360)
        if abs(outline[0, 0] - outline[-1, 0]) > 180:
            raise GeometryUnsuitable("The image reaches over a pole, where buildings have no outline in degrees.")
        return tuple((longitude, latitude) for longitude, latitude in outline.tolist())

    @cached_property
    def gsd(self) -> tuple[float, float]:
        """Ground sample distance at the centre in metres: of one pixel to the next along a row, and along a column."""
        across, down = self._steps(np.array([(self.width / 2, self.height / 2)]))
        return float(np.linalg.norm(across)), float(np.linalg.norm(down))

    def pixel_areas(self, points: npt.ArrayLike) -> Float64:
        """Return what a pixel at each of pixel coordinates, (N, 2), covers on the ellipsoid, m², float64 (N,)."""
        across, down = self._steps(np.asarray(points, np.float64))
        areas: Float64 = np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0])
        return areas

    def plane_area(self, shape: BaseGeometry) -> float:
        """Return the area of polygons in longitude and latitude, m² on the ellipsoid."""
        return float(self.plane_areas(np.array([shape], object))[0])

    def plane_areas(self, shapes: npt.NDArray[np.object_]) -> Float64:
        """Return the areas of polygons in longitude and latitude, m² on the ellipsoid, float64 (n,)."""
        areas: Float64 = shapely.area(
            shapely.transform(shapes, lambda places: transformed(lon_lat_crs(), self._plane, places))
        )
        return areas

    def _steps(self, points: Float64) -> tuple[Float64, Float64]:
        """Return where one step along the row and one along the column lead, metres, (N, 2) each."""
        half = 0.5 * np.eye(2)
        around = np.concatenate([points + half[0], points - half[0], points + half[1], points - half[1]])
        right, left, below, above = np.split(transformed(self.crs, self._plane, self._placed(around)), 4)
        return right - left, below - above

    @cached_property
    def _plane(self) -> CRS:
        from rasterio.crs import CRS

        longitude, latitude = self.centre
        with reading_raster(_NOT_ON_EARTH, GeometryUnsuitable):
            return CRS.from_dict(proj="laea", lon_0=longitude, lat_0=latitude, datum="WGS84", units="m")

    def _placed(self, points: npt.ArrayLike) -> Float64:
        return applied(self.affine, np.asarray(points, np.float64))


def lon_lat_crs() -> CRS:
    """Return WGS 84 with longitude before latitude, as rasterio takes it."""
    from rasterio.crs import CRS

    with reading_raster(_NOT_ON_EARTH, GeometryUnsuitable):
        return CRS.from_epsg(4326)


def transformed(source: CRS, target: CRS, points: Float64) -> Float64:
    """Return points, (N, 2), of one coordinate reference system in another; infinite where there is none.

    Raises:
        GeometryUnsuitable: there is no way from one to the other.
    """
    from rasterio.warp import transform

    with reading_raster(_NOT_ON_EARTH, GeometryUnsuitable):
        columns: Iterable[list[float]] = transform(source, target, points[:, 0].tolist(), points[:, 1].tolist())
    return np.array([*columns][:2], np.float64).T


def applied(affine: Affine, points: Float64) -> Float64:
    """Return what an affine makes of points, both float64 (N, 2)."""
    matrix = np.array([[affine.a, affine.b], [affine.d, affine.e]], np.float64)
    # What lies nowhere is infinite already, and what a broken transform leads to becomes so.
    with np.errstate(all="ignore"):
        moved: Float64 = points @ matrix.T + (affine.c, affine.f)
    return moved
