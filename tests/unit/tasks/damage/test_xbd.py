from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from export.tasks.damage.data import rasterise
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.vectors import outlines
from gateway.tasks.damage.xbd import xbd_document, xbd_metadata
from gateway.vision.regions import regions
from tests.support.geotiffs import gdal, grid

SUBTYPES = {1: "no-damage", 2: "minor-damage", 3: "major-damage", 4: "destroyed"}


def town() -> NDArray[np.uint8]:
    drawn = np.zeros((200, 300), np.uint8)
    for number in range(700):
        y, x = divmod(number, 40)
        drawn[y * 11 : y * 11 + 6, x * 7 : x * 7 + 5] = number % 4 + 1
    return drawn


def document(drawn: NDArray[np.uint8], place: GeoGrid | None, subtypes: dict[int, str] = SUBTYPES) -> Any:
    metadata = xbd_metadata(drawn.shape[1], drawn.shape[0], place)
    found = regions(drawn)
    shapes, values = np.array(outlines(found), object), [building.value for building in found]
    return json.loads(b"".join(xbd_document(shapes, values, place, subtypes, metadata, "sha256:12")))


def test_both_lists_are_parallel_and_show_one_building_each() -> None:
    place = grid(300, 200)
    said = document(town(), place)
    degrees, pixels = said["features"]["lng_lat"], said["features"]["xy"]
    assert len(degrees) == len(pixels) == 700
    for one, other in zip(degrees, pixels, strict=True):
        assert one["properties"] == other["properties"]
        corners = place.from_lon_lat(shapely.get_coordinates(shapely.from_wkt(one["wkt"])))
        assert corners == pytest.approx(shapely.get_coordinates(shapely.from_wkt(other["wkt"])), abs=0.01)
    assert len({UUID(one["properties"]["uid"]) for one in pixels}) == 700
    assert said["metadata"] == {
        "width": 300,
        "height": 200,
        "original_width": 300,
        "original_height": 200,
        "gsd": pytest.approx(0.50009, abs=1e-5),
    }


def test_buildings_have_the_corners_of_their_pixels() -> None:
    drawn = np.zeros((50, 60), np.uint8)
    drawn[10:20, 30:45] = 2
    (building,) = document(drawn, grid(60, 50))["features"]["xy"]
    assert shapely.from_wkt(building["wkt"]).equals(shapely.box(30, 10, 45, 20))
    assert building["properties"]["subtype"] == "minor-damage"
    assert building["properties"]["feature_type"] == "building"


def test_one_answer_names_its_buildings_alike() -> None:
    assert document(town(), None) == document(town(), None)


def test_without_geography_there_are_no_degrees() -> None:
    said = document(town(), None)
    assert said["features"]["lng_lat"] == []
    assert len(said["features"]["xy"]) == 700
    assert "gsd" not in said["metadata"]


def test_footprints_alone_have_no_subtype() -> None:
    assert "subtype" not in document(town(), None, {})["features"]["xy"][0]["properties"]


def test_the_training_code_reads_it_back() -> None:
    """Its filling takes in the pixels a border runs along, so that each building is a pixel larger right and below."""
    drawn = town()
    back = rasterise(document(drawn, None))
    assert (back[drawn > 0] == drawn[drawn > 0]).all()
    grown = np.zeros_like(drawn)
    for down in (0, 1):
        for right in (0, 1):
            grown |= np.roll(drawn > 0, (down, right), (0, 1))
    assert (back > 0).sum() == grown.sum()


def test_gdals_own_tools_read_its_geometry(tmp_path: Path) -> None:
    with (tmp_path / "buildings.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["WKT", "subtype"])
        for building in document(town(), grid(300, 200))["features"]["lng_lat"]:
            rows.writerow([building["wkt"], building["properties"]["subtype"]])
    said = gdal("ogrinfo", "-ro", "-so", "-al", tmp_path / "buildings.csv")
    assert "Feature Count: 700" in said
    assert "Extent: (-94.50" in said
