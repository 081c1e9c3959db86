from __future__ import annotations

import struct

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from shapely import Polygon

from gateway.media.gdal import contained
from gateway.media.geo.cog import CogFile
from gateway.media.geo.geography import old_datum
from gateway.media.geo.georeference import GeoGrid
from tests.support.geotiffs import grid, opened, smooth, write


def test_pixels_go_to_degrees_and_back() -> None:
    for place in (grid(300, 200), grid(300, 200, "EPSG:4326", Affine(1e-5, 0, -94.5, 0, -1e-5, 37.1))):
        points = np.random.default_rng(0).uniform(0, 200, (50, 2))
        assert place.from_lon_lat(place.to_lon_lat(points)) == pytest.approx(points, abs=1e-3)


def test_the_corner_of_the_first_pixel_is_where_the_file_begins() -> None:
    place = grid(300, 200, "EPSG:4326", Affine(1e-5, 0, -94.5, 0, -1e-5, 37.1))
    assert place.to_lon_lat([(0, 0), (300, 200)]) == pytest.approx(np.array([(-94.5, 37.1), (-94.497, 37.098)]))


def test_sample_distance_is_on_the_ground() -> None:
    """UTM shrinks by 0.9996 on its middle meridian; degrees of longitude shrink with the cosine of the latitude."""
    middle = grid(100, 100, "EPSG:32615", Affine(0.5, 0, 500_000, 0, -0.5, 4_104_511))
    assert middle.gsd == pytest.approx((0.5 / 0.9996, 0.5 / 0.9996), rel=1e-6)
    north = grid(100, 100, "EPSG:4326", Affine(1e-5, 0, 25, 0, -1e-5, 60))
    across, down = north.gsd
    assert across == pytest.approx(1e-5 * 55_800, rel=1e-3)  # a degree of longitude at 60° is 55.80 km,
    assert down == pytest.approx(1e-5 * 111_412, rel=1e-3)  # of latitude 111.41 km


def test_mercator_metres_are_not_metres() -> None:
    place = grid(100, 100, "EPSG:3857", Affine(1, 0, 2_800_000, 0, -1, 8_400_000))
    assert place.centre[1] == pytest.approx(60.1, abs=0.1)
    assert place.gsd[0] == pytest.approx(0.5, abs=0.01)
    assert place.pixel_areas([(50, 50)])[0] == pytest.approx(0.249, abs=0.002)


def test_areas_of_all_pixels_are_that_of_the_ground() -> None:
    """A whole degree by a degree on the equator, whose area on the ellipsoid is known."""
    place = grid(100, 100, "EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 1))
    y, x = np.mgrid[:100, :100] + 0.5
    total = place.pixel_areas(np.stack([x.ravel(), y.ravel()], 1)).sum()
    assert total == pytest.approx(12_308_463_846, rel=1e-5)


def test_a_turned_grid_turns_its_footprint() -> None:
    affine = Affine.translation(366_642.5, 4_104_511) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
    place = grid(400, 200, affine=affine)
    assert place.is_rotated
    assert not grid(400, 200).is_rotated
    assert place.gsd == pytest.approx(grid(400, 200).gsd, rel=1e-4)
    assert not Polygon(place.footprint).equals(Polygon(place.footprint).envelope)


def test_the_footprint_is_closed_and_inside_it_all_pixels_lie() -> None:
    place = grid(400, 200)
    outline = Polygon(place.footprint)
    assert place.footprint[0] == pytest.approx(place.footprint[-1])
    assert outline.exterior.is_ccw
    assert outline.buffer(1e-9).contains(Polygon(place.to_lon_lat([(1, 1), (1, 199), (399, 199), (399, 1)])))


@pytest.mark.parametrize("west", [179.998, -180.002])
def test_the_footprint_goes_on_over_the_antimeridian(west: float) -> None:
    place = GeoGrid(grid(1, 1, "EPSG:4326").crs, Affine(1e-5, 0, west, 0, -1e-5, 10), 400, 200)
    longitudes = [longitude for longitude, _ in place.footprint]
    assert max(longitudes) - min(longitudes) == pytest.approx(0.004)
    assert abs(place.to_lon_lat([(1, 1), (399, 1)])[:, 0]) == pytest.approx([179.998, 179.998], abs=1e-4)
    assert place.from_lon_lat([(-179.999, 9.999), (179.999, 9.999)]) == pytest.approx(
        np.array([(300, 100), (100, 100)])
    )


def test_an_image_may_end_at_the_antimeridian() -> None:
    edge, metres = 20037508.342789244, 0.597164283559817
    for west in (edge - 512 * metres, edge - 513 * metres, -edge):
        place = grid(512, 512, "EPSG:3857", Affine(metres, 0, west, 0, -metres, -1_897_000))
        found = opened(write(smooth(512, 512), place)).info.grid
        assert found == place
        corners = np.array([(0, 0), (512, 0), (512, 512), (0, 512)], float)
        np.testing.assert_allclose(found.from_lon_lat(found.to_lon_lat(corners)), corners, atol=1e-3)


def with_heights(code: int) -> bytes:
    """Return a file in UTM whose heights are of a vertical reference system, or ellipsoidal as of 4979."""
    data = bytearray(write(smooth(64, 64), grid(64, 64, "EPSG:32615+5773")))
    at = data.find(struct.pack("<HHHH", 4096, 0, 1, 5773))
    assert at > 0
    struct.pack_into("<H", data, at + 6, code)
    return bytes(data)


@pytest.mark.parametrize("code", [5773, 4979])
def test_heights_are_no_part_of_an_images_reference_system(code: int) -> None:
    found = opened(with_heights(code)).info.grid
    assert found is not None
    expected = grid(64, 64)
    assert found.gsd == pytest.approx(expected.gsd)
    np.testing.assert_allclose(found.to_lon_lat([(3, 9)]), expected.to_lon_lat([(3, 9)]), atol=1e-9)
    with CogFile(64, 64, np.zeros((2, 3), np.uint8), found) as labels:
        labels.write(np.zeros((64, 64), np.uint8))
        content = labels.geotiff(["a", "b"], {})
    with contained(), MemoryFile(content) as memory, memory.open() as file:
        assert file.crs is not None
        assert file.crs.to_epsg() == 32615


@pytest.mark.parametrize(
    ("crs", "datum"),
    [
        ("EPSG:26715", "North American Datum 1927"),
        ("EPSG:27700", "Ordnance Survey of Great Britain 1936"),
        ("EPSG:4301", "Tokyo"),
        ("EPSG:32615", None),
        ("EPSG:26915", None),
        ("EPSG:25832", None),
        ("EPSG:3857", None),
    ],
)
def test_old_datums_are_said(crs: str, datum: str | None) -> None:
    assert old_datum(CRS.from_string(crs)) == datum
    if crs == "EPSG:26715":
        notices = opened(write(smooth(64, 64), grid(64, 64, crs))).info.notices
        assert any("North American Datum 1927 come to WGS 84 without a grid" in notice for notice in notices)
