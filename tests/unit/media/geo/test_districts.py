from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import DistrictsInvalid, DistrictsTooLarge
from gateway.media.geo.districts import DistrictLimits, count_districts, read_districts
from gateway.media.geo.georeference import GeoGrid, transformed
from gateway.media.geo.vectors import building_areas
from gateway.vision.regions import regions
from tests.support.geotiffs import grid

WIDTH, HEIGHT = 400, 300
LIMITS = DistrictLimits(districts=10, size=1 << 20)
PLACE = grid(WIDTH, HEIGHT)


def ring(x0: float, y0: float, x1: float, y1: float) -> Any:
    """A rectangle in pixels, as degrees."""
    return PLACE.to_lon_lat([(x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)]).tolist()


def feature(*rings: Any, **members: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}, "properties": {}, **members}


def layer(*features: Any, **members: Any) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features, **members}).encode()


WEST = feature(ring(0, 0, 200, 300), id="w", properties={"name": "West", "population": 12})
EAST = feature(ring(200, 0, 400, 300), properties={"name": "East"})


def town(number: int = 40) -> np.ndarray[Any, np.dtype[np.uint8]]:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place in range(number):
        y, x = divmod(place, 10)
        drawn[y * 60 + 5 : y * 60 + 25, x * 40 + 5 : x * 40 + 25] = place % 4 + 1
    return drawn


def test_buildings_count_where_they_stand() -> None:
    buildings = regions(town())
    west, east, nowhere = count_districts(buildings, PLACE, read_districts(layer(WEST, EAST), LIMITS), 5)
    assert (west.district and west.district.id, west.district and west.district.name) == ("w", "West")
    assert (east.district and east.district.id, east.district and east.district.name) == (1, "East")
    assert nowhere.district is None
    assert sum(west.buildings) == sum(east.buildings) == 20
    assert nowhere.buildings == (0, 0, 0, 0, 0)
    total = np.array(west.buildings) + np.array(east.buildings)
    assert total.tolist() == [0, 10, 10, 10, 10]
    assert sum(west.area_m2) + sum(east.area_m2) == pytest.approx(sum(building_areas(buildings, PLACE)))
    assert west.area_m2[1] == pytest.approx(west.buildings[1] * 100, rel=1e-3)


def test_a_house_on_the_border_stands_in_one_district() -> None:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[100:120, 190:210] = 1  # half here and half there
    drawn[200:220, 195:215] = 2
    counts = count_districts(regions(drawn), PLACE, read_districts(layer(WEST, EAST), LIMITS), 5)
    assert np.sum([count.buildings for count in counts], axis=0).tolist() == [0, 1, 1, 0, 0]
    assert counts[2].buildings == (0, 0, 0, 0, 0)
    assert counts[1].buildings[2] == 1


@settings(max_examples=30)
@given(st.lists(st.integers(1, WIDTH - 1), max_size=6, unique=True), st.integers(0, 40))
def test_districts_without_gaps_hold_each_building_once(borders: list[int], houses: int) -> None:
    edges = [0, *sorted(borders), WIDTH]
    features = [feature(ring(x0, 0, x1, HEIGHT)) for x0, x1 in pairwise(edges)]
    counts = count_districts(regions(town(houses)), PLACE, read_districts(layer(*features), LIMITS), 5)
    assert sum(sum(count.buildings) for count in counts) == houses
    assert sum(counts[-1].buildings) == 0


def test_districts_that_overlap_both_count_and_holes_do_not() -> None:
    inner = feature(ring(100, 50, 300, 250))
    around = feature(ring(0, 0, 400, 300), ring(100, 50, 300, 250))
    everything = feature(ring(0, 0, 400, 300))
    buildings = regions(town())
    one, rest, total, nowhere = count_districts(
        buildings, PLACE, read_districts(layer(inner, around, everything), LIMITS), 5
    )
    assert sum(one.buildings) + sum(rest.buildings) == sum(total.buildings) == 40
    assert 0 < sum(one.buildings) < 40
    assert sum(nowhere.buildings) == 0


def test_what_stands_in_none_is_counted_apart() -> None:
    *_, nowhere = count_districts(regions(town()), PLACE, read_districts(layer(WEST), LIMITS), 5)
    assert sum(nowhere.buildings) == 20
    assert count_districts([], PLACE, read_districts(layer(WEST), LIMITS), 5)[0].buildings == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:EPSG::32615", "EPSG:32615", "urn:ogc:def:crs:EPSG:9.8:32615"])
def test_another_reference_system_is_taken_by_its_number(name: str) -> None:
    metres = feature(
        [
            [366_642.5, 4_104_361],
            [366_742.5, 4_104_361],
            [366_742.5, 4_104_511],
            [366_642.5, 4_104_511],
            [366_642.5, 4_104_361],
        ]
    )
    crs = {"type": "name", "properties": {"name": name}}
    (district,) = read_districts(layer(metres, crs=crs), LIMITS)
    corners = transformed(
        GeoGrid(PLACE.crs, PLACE.affine, 1, 1).crs,
        PLACE.crs,
        PLACE.from_lon_lat(shapely.get_coordinates(district.shape)),
    )
    assert corners.min(axis=0) == pytest.approx((0, 0), abs=1e-3)
    assert corners.max(axis=0) == pytest.approx((200, 300), abs=1e-3)


def test_the_old_name_of_wgs_84_is_wgs_84() -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    assert read_districts(layer(WEST, crs=crs), LIMITS)[0].shape.equals(read_districts(layer(WEST), LIMITS)[0].shape)


def test_heights_are_left_out() -> None:
    high = feature([[*place, 12.5] for place in ring(0, 0, 10, 10)])
    assert not read_districts(layer(high), LIMITS)[0].shape.has_z


POINT = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [0, 0]}, "properties": {}}
LOOP = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("data", "pointer", "says"),
    [
        (b"", None, "not a GeoJSON feature collection"),
        (b"\xff\xfe", None, "not a GeoJSON feature collection"),
        (b"[" * 100_000, None, "not a GeoJSON feature collection"),
        (b'{"type": "Feature"}', None, "not a GeoJSON feature collection"),
        (b'{"type": "FeatureCollection", "features": {}}', None, "not a GeoJSON feature collection"),
        (layer(), "/features", "empty"),
        (layer(WEST, POINT), "/features/1", "other than a polygon"),
        (layer({"type": "Feature", "geometry": None}), "/features/0", "not a GeoJSON feature with a polygon"),
        (layer(7), "/features/0", "not a GeoJSON feature with a polygon"),
        (layer(feature([[0, 0], [1, 1]])), "/features/0", "not a GeoJSON feature with a polygon"),
        (layer(feature([[0, 0], ["x", 1], [1, 0], [0, 0]])), "/features/0", "not a GeoJSON feature with a polygon"),
        (layer(feature()), "/features/0", "empty"),
        (layer(feature(LOOP)), "/features/0", "crosses itself"),
        (layer(feature([[500, 0], [501, 0], [501, 1], [500, 0]])), "/features/0", "beyond"),
        (layer(feature([[366_642, 4_104_361], [366_742, 4_104_361], [366_742, 4_104_511]])), "/features/0", "beyond"),
        (layer(feature([[0, 0], [1, float("nan")], [1, 0], [0, 0]])), "/features/0", "."),
        (layer(WEST, crs={"type": "link", "properties": {"href": "file:///etc/passwd"}}), "/crs", "EPSG"),
        (layer(WEST, crs={"type": "name", "properties": {"name": "/etc/passwd"}}), "/crs", "EPSG"),
        (layer(WEST, crs={"type": "name", "properties": {"name": "EPSG:99999"}}), "/crs", "EPSG"),
        (layer(WEST, crs="EPSG:4326"), "/crs", "EPSG"),
    ],
)
def test_what_is_no_layer_of_polygons_is_refused_where_it_is_wrong(data: bytes, pointer: str | None, says: str) -> None:
    with pytest.raises(DistrictsInvalid, match=says) as refused:
        read_districts(data, LIMITS)
    assert refused.value.pointer == pointer


def test_too_many_districts_are_refused() -> None:
    for limits, limit in ((DistrictLimits(1, 1 << 20), 1), (DistrictLimits(9, 99), 99)):
        with pytest.raises(DistrictsTooLarge) as refused:
            read_districts(layer(WEST, EAST), limits)
        assert refused.value.limit == limit
