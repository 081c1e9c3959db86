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
from gateway.media.geo.districts import (
    DistrictLimits,
    ObservedCells,
    Standing,
    count_districts,
    districts_of,
    meeting,
    read_districts,
)
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
    west, east, nowhere = count_districts(
        Standing.of_regions(buildings, PLACE), PLACE, read_districts(layer(WEST, EAST), LIMITS).districts, 5
    )
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
    counts = count_districts(
        Standing.of_regions(regions(drawn), PLACE), PLACE, read_districts(layer(WEST, EAST), LIMITS).districts, 5
    )
    assert np.sum([count.buildings for count in counts], axis=0).tolist() == [0, 1, 1, 0, 0]
    assert counts[2].buildings == (0, 0, 0, 0, 0)
    assert counts[1].buildings[2] == 1


@settings(max_examples=30)
@given(st.lists(st.integers(1, WIDTH - 1), max_size=6, unique=True), st.integers(0, 40))
def test_districts_without_gaps_hold_each_building_once(borders: list[int], houses: int) -> None:
    edges = [0, *sorted(borders), WIDTH]
    features = [feature(ring(x0, 0, x1, HEIGHT)) for x0, x1 in pairwise(edges)]
    counts = count_districts(
        Standing.of_regions(regions(town(houses)), PLACE), PLACE, read_districts(layer(*features), LIMITS).districts, 5
    )
    assert sum(sum(count.buildings) for count in counts) == houses
    assert sum(counts[-1].buildings) == 0


def test_districts_that_overlap_both_count_and_holes_do_not() -> None:
    inner = feature(ring(100, 50, 300, 250))
    around = feature(ring(0, 0, 400, 300), ring(100, 50, 300, 250))
    everything = feature(ring(0, 0, 400, 300))
    buildings = regions(town())
    one, rest, total, nowhere = count_districts(
        Standing.of_regions(buildings, PLACE),
        PLACE,
        read_districts(layer(inner, around, everything), LIMITS).districts,
        5,
    )
    assert sum(one.buildings) + sum(rest.buildings) == sum(total.buildings) == 40
    assert 0 < sum(one.buildings) < 40
    assert sum(nowhere.buildings) == 0


def test_what_stands_in_none_is_counted_apart() -> None:
    *_, nowhere = count_districts(
        Standing.of_regions(regions(town()), PLACE), PLACE, read_districts(layer(WEST), LIMITS).districts, 5
    )
    assert sum(nowhere.buildings) == 20
    assert count_districts(Standing.of_regions([], PLACE), PLACE, read_districts(layer(WEST), LIMITS).districts, 5)[
        0
    ].buildings == (0, 0, 0, 0, 0)


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
    (district,) = read_districts(layer(metres, crs=crs), LIMITS).districts
    corners = transformed(
        GeoGrid(PLACE.crs, PLACE.affine, 1, 1).crs,
        PLACE.crs,
        PLACE.from_lon_lat(shapely.get_coordinates(district.shape)),
    )
    assert corners.min(axis=0) == pytest.approx((0, 0), abs=1e-3)
    assert corners.max(axis=0) == pytest.approx((200, 300), abs=1e-3)


def test_the_old_name_of_wgs_84_is_wgs_84() -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    named, plain = (read_districts(one, LIMITS).districts[0] for one in (layer(WEST, crs=crs), layer(WEST)))
    assert named.shape.equals(plain.shape)


def test_heights_are_left_out() -> None:
    high = feature([[*place, 12.5] for place in ring(0, 0, 10, 10)])
    assert not read_districts(layer(high), LIMITS).districts[0].shape.has_z


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
        (layer({"type": "Feature", "geometry": None}), "/features", "None of the districts has an area"),
        (layer(7), "/features/0", "not a GeoJSON feature with a polygon"),
        (layer(feature([[0, 0], [1, 1]])), "/features/0", "not a GeoJSON feature with a polygon"),
        (layer(feature([[0, 0], ["x", 1], [1, 0], [0, 0]])), "/features/0", "not a GeoJSON feature with a polygon"),
        (layer(feature()), "/features", "None of the districts has an area"),
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


def test_outlines_that_cross_themselves_are_repaired_and_said() -> None:
    spike = feature([*ring(0, 0, 200, 300)[:3], PLACE.to_lon_lat([(260, 300)])[0].tolist(), *ring(0, 0, 200, 300)[2:]])
    read = read_districts(layer(feature(LOOP), spike, EAST), LIMITS)
    assert read.notices == ("2 districts whose outlines cross themselves were repaired",)
    assert all(district.shape.is_valid and district.shape.area for district in read.districts)
    assert read.districts[1].shape.area == pytest.approx(shapely.Polygon(ring(0, 0, 200, 300)).area)


def test_features_without_an_area_are_left_out_and_said() -> None:
    nothing = {"type": "Feature", "geometry": None, "properties": {"name": "nowhere"}}
    read = read_districts(layer(nothing, WEST, feature(), EAST), LIMITS)
    assert [district.id for district in read.districts] == ["w", 3]
    assert read.notices == ("2 districts without an area are left out",)


def test_the_edge_of_the_earth_may_be_passed_by_what_rounding_does() -> None:
    corners = [[-180, -90], [180.00000001, -90], [180.00000001, 90.0000005], [-180, 90], [-180, -90]]
    (world,) = read_districts(layer(feature(corners)), LIMITS).districts
    assert world.shape.bounds == (-180, -90, 180, 90)


@pytest.mark.parametrize(
    ("properties", "name", "expected"),
    [
        ({"ADM3_EN": "North", "ADM3_PCODE": "XX0101"}, None, "North"),
        ({"ADM1_EN": "Province", "ADM2_EN": "County"}, None, "County"),
        ({"shapeName": "North", "shapeID": "1"}, None, "North"),
        ({"NAME_1": "Province", "NAME_3": "North", "GID_3": "X.1_1"}, None, "North"),
        ({"NAME": "North"}, None, "North"),
        ({"name": 12}, None, "12"),
        ({"name": "North", "code": "N1"}, "code", "N1"),
        ({"population": 12}, None, None),
        ({"name": True}, None, None),
        ({}, None, None),
    ],
)
def test_names_are_where_makers_put_them_or_the_caller_says(properties: Any, name: str | None, expected: Any) -> None:
    read = read_districts(layer(feature(ring(0, 0, 9, 9), properties=properties)), LIMITS, name)
    assert read.districts[0].name == expected


def test_a_property_that_no_district_has_is_said() -> None:
    assert read_districts(layer(WEST), LIMITS, "nom").notices == (
        "no district has a property of the name that was asked for",
    )


@pytest.mark.parametrize("side", [1, 7])
def test_how_much_of_a_district_was_observed(side: int) -> None:
    observed = np.ones((HEIGHT, WIDTH), np.int64)
    observed[:, 300:] = 0
    beyond = feature(ring(-200, 0, 200, 300))
    small = feature(ring(350.2, 10.1, 350.4, 10.3))
    away = feature([[0, 0], [1, 0], [1, 1], [0, 0]])
    districts = read_districts(layer(WEST, EAST, beyond, small, away), LIMITS).districts
    rows, columns = np.arange(0, HEIGHT, side), np.arange(0, WIDTH, side)
    seen = np.add.reduceat(np.add.reduceat(observed, rows, axis=0), columns, axis=1)
    counts = count_districts(
        Standing.of_regions(regions(town()), PLACE), PLACE, districts, 5, ObservedCells(side, seen)
    )
    shares = [count.observed_share for count in counts]
    assert shares == [pytest.approx(share, abs=0.02) for share in (1, 0.5, 0.5, 0, 0)] + [None]
    assert meeting(districts, PLACE)
    assert not meeting(districts[-1:], PLACE)


def test_each_building_has_its_district() -> None:
    districts = read_districts(layer(WEST, feature(ring(0, 0, 100, 300))), LIMITS).districts
    buildings = regions(town())
    found = districts_of(Standing.of_regions(buildings, PLACE), districts)
    assert [district and district.id for district in found] == [
        "w" if building.box[0] < 200 else None for building in buildings
    ]
