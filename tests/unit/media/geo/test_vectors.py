from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Geod
from rasterio.features import rasterize
from shapely.geometry import shape

from gateway.media.gdal import contained
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.vector_layers import feature_collection, region_layer
from gateway.media.geo.vectors import building_areas, lon_lat_outlines, outlines
from gateway.vision.regions import Region, regions
from tests.support.geotiffs import gdal, grid, write

UInt8 = NDArray[np.uint8]

NAMES = ("background", "no-damage", "minor-damage", "major-damage", "destroyed")
WIDTH, HEIGHT = 300, 200
TURNED = grid(
    WIDTH, HEIGHT, affine=Affine.translation(366_600, 4_104_480) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5)
)


def town() -> UInt8:
    """Houses that stand straight, at an angle, around a court, one a single pixel and one a line of them."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[20:50, 30:80] = 2
    drawn[30:40, 45:65] = 0
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    drawn[np.abs(x - 200) + np.abs(y - 60) < 30] = 3
    drawn[100, 100] = 4
    drawn[120, 10:40] = 1
    drawn[0:12, 280:300] = 1
    return drawn


def collection(drawn: UInt8, place: GeoGrid, **members: Any) -> Any:
    buildings = regions(drawn, np.full_like(drawn, 204))
    return json.loads(b"".join(feature_collection(region_layer(buildings, place, NAMES), members)))


def test_a_building_reaches_to_the_outer_edges_of_its_pixels() -> None:
    drawn = np.zeros((50, 60), np.uint8)
    drawn[10:20, 30:45] = 1
    drawn[30, 5] = 2
    drawn[40, 10:50] = 3
    house, pixel, line = outlines(regions(drawn))
    assert house.equals(shapely.box(30, 10, 45, 20))
    assert pixel.equals(shapely.box(5, 30, 6, 31))
    assert line.equals(shapely.box(10, 40, 50, 41))


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_outlines_are_valid_and_near_any_region(seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = (random.random((24, 32)) < random.uniform(0.2, 0.8)).astype(np.uint8)
    found = regions(drawn)
    for region, outline in zip(found, outlines(found), strict=True):
        assert outline.is_valid
        assert not outline.is_empty
        assert shapely.box(*region.box).buffer(1.1).contains(outline)
    # Noise is the worst case: its outlines cross themselves where they were simplified by up to a pixel.
    pixels = [shapely.box(x, y, x + 1, y + 1) for y, x in np.argwhere(drawn)]
    everything = shapely.union_all(outlines(found))
    assert everything.hausdorff_distance(shapely.union_all(pixels)) < 2.5 or not pixels


@pytest.mark.parametrize(
    "place",
    [grid(WIDTH, HEIGHT), TURNED, grid(WIDTH, HEIGHT, "EPSG:4326", Affine(5e-6, 0, -94.5, 0, -5e-6, 37.1))],
    ids=["UTM", "turned", "degrees"],
)
def test_features_lie_on_the_pixels_they_are_of(place: GeoGrid) -> None:
    """Back to pixels by another way, the corner of a marked pixel is where it was."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[57, 123] = 4
    (feature,) = collection(drawn, place)["features"]
    corners = place.from_lon_lat(np.array(feature["geometry"]["coordinates"][0]))
    assert sorted({(round(x, 1), round(y, 1)) for x, y in corners.tolist()}) == [
        (123, 57),
        (123, 58),
        (124, 57),
        (124, 58),
    ]


def test_the_collection_is_geojson_as_rfc_7946_has_it() -> None:
    found = collection(town(), TURNED, notices=["über Land"])
    assert (found["type"], found["notices"]) == ("FeatureCollection", ["über Land"])
    assert "crs" not in found
    assert [feature["id"] for feature in found["features"]] == [1, 2, 3, 4, 5]
    for feature in found["features"]:
        rings = feature["geometry"]["coordinates"]
        assert feature["geometry"]["type"] == "Polygon"
        assert all(ring[0] == ring[-1] and len(ring) >= 4 for ring in rings)
        assert shapely.LinearRing(rings[0]).is_ccw
        assert not any(shapely.LinearRing(hole).is_ccw for hole in rings[1:])
        assert all(-95 < longitude < -94 and 37 < latitude < 38 for ring in rings for longitude, latitude in ring)
    court = found["features"][1]
    assert len(court["geometry"]["coordinates"]) == 2
    assert court["properties"] == {
        "class": "minor-damage",
        "value": 2,
        "confidence": 0.8,
        "area_m2": 325.12,
        "pixels": 1300,
    }


def test_no_building_is_an_empty_collection() -> None:
    assert collection(np.zeros((64, 64), np.uint8), grid(64, 64)) == {"type": "FeatureCollection", "features": []}


def test_many_buildings_are_streamed_in_pieces() -> None:
    one = regions(town())[0]
    pieces = list(feature_collection(region_layer([one] * 1500, TURNED, NAMES), {}))
    assert len(pieces) == 5
    assert len(json.loads(b"".join(pieces))["features"]) == 1500


def test_the_area_is_that_of_the_polygon_on_the_ellipsoid() -> None:
    """UTM's own square metres, put right by its scale, at the edge of the zone where that matters."""
    place = grid(400, 400, affine=Affine(0.5, 0, 166_021, 0, -0.5, 4_104_511))
    drawn = np.zeros((400, 400), np.uint8)
    drawn[100:300, 100:300] = 1
    buildings = regions(drawn)
    (area,) = building_areas(buildings, place)
    assert area == pytest.approx(10_000 / 1.00097**2, rel=1e-4)  # the scale 334 km from the meridian
    assert building_areas([], place) == []


@pytest.mark.parametrize(
    "corners",
    [
        [(20, 0), (60, 0), (60, 20), (40, 20), (40, 40), (20, 40)],
        [(40, 0), (60, 0), (60, 40), (20, 40), (20, 20), (40, 20)],
        [(20, 0), (60, 0), (60, 20), (40, 20), (40, 30), (60, 30), (60, 40), (20, 40)],
        [(40, 0), (60, 0), (60, 40), (40, 40)],
        [(20, 0), (40, 0), (40, 40), (20, 40)],
    ],
)
def test_an_outline_along_the_antimeridian_leaves_no_lines(corners: list[tuple[int, int]]) -> None:
    place = grid(80, 40, "EPSG:4326", Affine(2**-17, 0, 180 - 40 * 2**-17, 0, -(2**-17), -17))
    pixels = shapely.Polygon(corners)
    (cut,) = lon_lat_outlines([pixels], place)
    assert cut.geom_type in ("Polygon", "MultiPolygon")
    assert cut.is_valid
    assert cut.area == pytest.approx(pixels.area * 2**-34)


@pytest.mark.parametrize("west", [179.9995, -180.0005])
def test_a_building_on_the_antimeridian_is_cut_there(west: float) -> None:
    place = grid(WIDTH, HEIGHT, "EPSG:4326", Affine(5e-6, 0, west, 0, -5e-6, -17))
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[40:60, 80:140] = 1
    drawn[100:120, 100:120] = 2
    drawn[150:160, 10:20] = 3
    across, touching, apart = (feature["geometry"] for feature in collection(drawn, place)["features"])
    assert across["type"] == "MultiPolygon"
    assert sorted(shapely.get_parts(shape(across)), key=lambda part: part.bounds)[0].bounds[0] == -180
    assert {round(part.area / 25e-12) for part in shapely.get_parts(shape(across))} == {400, 800}
    assert (touching["type"], apart["type"]) == ("Polygon", "Polygon")
    assert shape(touching).bounds == pytest.approx((-180, -17.0006, -179.9999, -17.0005))


def test_gdals_own_tools_draw_the_same_label_map(tmp_path: Path) -> None:
    """GeoJSON, warped by ogr2ogr to the reference system of the grid and burnt onto it, is the label map again."""
    place, drawn = grid(WIDTH, HEIGHT), town()
    layer, warped, picture = tmp_path / "b.geojson", tmp_path / "b.gpkg", tmp_path / "burnt.tif"
    layer.write_text(json.dumps(collection(drawn, place)))
    assert "Feature Count: 5" in gdal("ogrinfo", "-so", "-al", layer)
    gdal("ogr2ogr", "-q", "-t_srs", "EPSG:32615", warped, layer)
    picture.write_bytes(write(np.zeros((HEIGHT, WIDTH, 1), np.uint8), place))
    gdal("gdal_rasterize", "-q", "-a", "value", warped, picture)
    with contained(), rasterio.open(picture) as dataset:
        burnt = dataset.read(1)
    assert (burnt[60:, :160] == drawn[60:, :160]).all()
    assert (burnt[:30, :160] == drawn[:30, :160]).all()
    assert (burnt[40:60, :160] == drawn[40:60, :160]).all()
    # Slanted walls and the court are within the pixel that outlines are simplified to.
    assert (burnt != drawn).sum() < 0.03 * (drawn > 0).sum()


def test_degrees_are_written_to_the_centimetre() -> None:
    (first, *_), *_ = (feature["geometry"]["coordinates"] for feature in collection(town(), TURNED)["features"])
    assert all(len(str(value).split(".")[1]) <= 7 for place in first for value in place)
    assert all(a != b for a, b in pairwise(first))


def test_a_region_of_two_parts_at_a_corner_is_one_building() -> None:
    drawn = np.zeros((40, 40), np.uint8)
    drawn[5:15, 5:15] = 1
    drawn[15:25, 15:25] = 1
    (outline,) = outlines(regions(drawn))
    assert outline.geom_type == "Polygon"
    assert outline.area == pytest.approx(200, abs=10)
    assert lon_lat_outlines([outline], TURNED)[0].is_valid


def test_a_ring_that_crosses_itself_is_mended() -> None:
    bow = Region([[0, 0], [10, 10], [10, 0], [0, 10]], [], 1, 60, None, (0, 0, 11, 11))
    (outline,) = outlines([bow])
    assert outline.is_valid
    assert outline.area == pytest.approx(60, rel=0.02)


@pytest.mark.parametrize("where", ["UTM", "Mercator"])
def test_polygons_are_the_label_map_and_cover_what_its_pixels_do(where: str) -> None:
    """Turned houses of every size from 50 pixels, burnt back onto the grid by another reader."""
    place = {
        "UTM": grid(700, 700),
        "Mercator": grid(700, 700, "EPSG:3857", Affine(0.6, 0, 1_100_000, 0, -0.6, 8_400_000)),
    }[where]
    drawn = np.zeros((700, 700), np.uint8)
    rng = np.random.default_rng(0)
    for number in range(144):
        y, x = divmod(number, 12)
        size = (rng.uniform(7, 40), rng.uniform(7, 34))
        corners = cv2.boxPoints(((x * 58 + 30.3, y * 58 + 30.7), size, float(rng.uniform(0, 90))))
        cv2.fillPoly(drawn, [corners.round().astype(np.int32)], number % 4 + 1)
    buildings = regions(drawn, min_area=50)
    assert len(buildings) > 100
    features = [feature for feature in collection(drawn, place)["features"] if feature["properties"]["pixels"] >= 50]
    assert len(features) == len(buildings)
    geod = Geod(ellps="WGS84")
    shapes = []
    for feature in features:
        pixels, area_m2 = feature["properties"]["pixels"], feature["properties"]["area_m2"]
        on_earth = shape(feature["geometry"])
        shapes.append(shapely.transform(on_earth, place.from_lon_lat))
        assert area_m2 == pytest.approx(abs(geod.geometry_area_perimeter(on_earth)[0]), rel=0.02)
        assert shapes[-1].area == pytest.approx(pixels, rel=0.02)
    burnt = rasterize([(found, 1) for found in shapes], out_shape=drawn.shape, dtype="uint8") > 0
    labelled = drawn > 0
    for building in buildings:
        x0, y0, x1, y1 = building.box
        part = np.s_[y0:y1, x0:x1]
        assert (burnt[part] & labelled[part]).sum() / (burnt[part] | labelled[part]).sum() >= 0.98
