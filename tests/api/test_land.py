"""`POST /v1/land`: land cover with and without geography, and roads near what was destroyed."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from gateway.app import create_app
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.geotiffs import grid, write
from tests.support.pictures import decode, encode
from tests.support.trivial_land import GREEN, write_trivial_land

PLACE = grid(400, 300)
"""200 × 150 m in Joplin."""

ROAD, BUILDING = 2, 1


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    root: Path = tmp_path_factory.mktemp("land")
    write_trivial_land(root)
    with running(create_app(Settings.model_validate({"models": {"repository": root}}))) as client:
        yield client


def town() -> NDArray[np.uint8]:
    """Return half-metre pixels of two roads of 6 m across the whole picture: down at x = 50 m, across at y = 100 m."""
    green = np.full((300, 400), GREEN["open ground"], np.uint8)
    green[:, 94:106] = GREEN["road"]
    green[194:206] = GREEN["road"]
    green[40:60, 300:340] = GREEN["building"]
    return np.dstack([green] * 3)


def ask(land: AppClient, image: bytes, *, accept: str = "application/json", **more: Any) -> httpx.Response:
    parts = {name: json.dumps(collection).encode() for name, collection in more.pop("parts", {}).items()}
    return land.post("/v1/land", files={"image": image, **parts}, headers={"Accept": accept}, params=more)


def box(x0: float, y0: float, x1: float, y1: float, **properties: Any) -> dict[str, Any]:
    """Return a feature whose corners are pixels of the place."""
    ring = PLACE.to_lon_lat([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]).tolist()
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def features(*found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(found)}


def test_a_picture_becomes_a_label_map_of_its_size(land: AppClient) -> None:
    picture = town()
    answer = ask(land, encode(picture), accept="image/png")
    assert answer.status_code == 200, answer.text
    assert "0.5 m" in answer.headers["Maskgate-Notices"]
    labels = decode(answer.content)
    assert labels.shape == (300, 400)
    assert (labels[150, 100], labels[50, 320], labels[0, 0]) == (ROAD, BUILDING, 0)
    stated = ask(land, encode(picture), accept="image/png", resolution=1.0)
    assert "Maskgate-Notices" not in stated.headers
    np.testing.assert_array_equal(decode(stated.content) == ROAD, picture[..., 1] == GREEN["road"])
    overlay = decode(ask(land, encode(picture), accept="image/png", overlay="true").content)
    assert overlay.shape[1:] == (400, 3)
    assert len(overlay) > 300, "the legend is below"


def test_what_is_transparent_is_not_observed(land: AppClient) -> None:
    picture = np.dstack([town(), np.full((300, 400), 255, np.uint8)])
    picture[:, 350:, 3] = 0
    report = ask(land, encode(picture)).json()
    assert report["observed_share"] == pytest.approx(0.875)
    assert sum(share["pixels"] for share in report["classes"]) == 300 * 350
    picture[..., 3] = 0
    refused = ask(land, encode(picture))
    assert (refused.status_code, refused.json()["code"]) == (422, "image-unsuitable")


def test_a_geotiff_comes_back_where_it_lies_with_what_it_does_not_show(land: AppClient) -> None:
    mask = np.full((300, 400), 255, np.uint8)
    mask[:, 350:] = 0
    image = write(town(), PLACE, mask=mask)
    answer = ask(land, image, accept="image/tiff")
    assert answer.status_code == 200, answer.text
    with MemoryFile(answer.content) as memory, memory.open() as file:
        assert (file.crs, file.transform, file.nodata) == (PLACE.crs, PLACE.affine, 255)
        labels = file.read(1)
        assert file.tags(1)["class_2"] == "road"
    assert (labels[:, 350:] == 255).all()
    assert (labels[:, 96:104] == ROAD).all()
    report = ask(land, image, include="geotiff").json()
    assert b64decode(report["files"]["geotiff"])[:2] in (b"II", b"MM")
    assert report["observed_share"] == pytest.approx(0.875)
    assert sum(share["pixels"] for share in report["classes"]) == 300 * 350
    [building] = [share for share in report["classes"] if share["name"] == "building"]
    assert building["area_m2"] == pytest.approx(200, rel=0.05)
    assert {region["name"] for region in report["regions"]} == {"road", "building"}
    assert (decode(ask(land, image, accept="image/png").content)[:, 350:] == 0).all()


def test_roads_have_a_length_in_each_district_and_near_what_was_destroyed(land: AppClient) -> None:
    # One destroyed house 10 m right of the road that runs down, one intact one beside the other road.
    houses = features(
        box(126, 60, 146, 80, **{"class": "destroyed"}), box(300, 210, 320, 230, **{"class": "no-damage"})
    )
    districts = features(box(0, 0, 200, 300, name="west"), box(200, 0, 400, 150, name="north-east"))
    report = ask(land, write(town(), PLACE), parts={"buildings": houses, "districts": districts}).json()
    # 150 m down and 200 m across; lines along rows and columns are measured 6 % short.
    assert report["roads"]["length_m"] == pytest.approx(350, rel=0.08)
    assert report["near"] == {"near": 20, "near_class": "destroyed", "buildings": 1, "sent": 2}
    # 20 m around a house of 10 m whose wall is 13 m from the road's middle: its side, and a chord on either end.
    chord = 10 + 2 * (20**2 - 13**2) ** 0.5
    assert report["roads"]["near_length_m"] == pytest.approx(chord, rel=0.15)
    west, north_east, elsewhere = report["districts"]
    assert (west["name"], north_east["name"], elsewhere["id"]) == ("west", "north-east", None)
    assert west["length_m"] == pytest.approx(250, rel=0.08)
    assert (north_east["length_m"], north_east["near_length_m"]) == (0, 0)
    assert elsewhere["length_m"] == pytest.approx(100, rel=0.08)
    assert west["near_length_m"] == report["roads"]["near_length_m"]
    intact = ask(land, write(town(), PLACE), parts={"buildings": houses}, near_class="no-damage", near=8).json()
    assert intact["roads"]["near_length_m"] == pytest.approx(10 + 2 * (8**2 - 5**2) ** 0.5, rel=0.2)
    assert intact["districts"] is None


def test_roads_are_as_long_on_a_turned_grid_of_other_pixels(land: AppClient) -> None:
    turned = grid(500, 500, affine=PLACE.affine @ Affine.rotation(30) @ Affine.scale(0.5))
    green = np.full((500, 500), GREEN["open ground"], np.uint8)
    green[:, 240:264] = GREEN["road"]
    report = ask(land, write(np.dstack([green] * 3), turned)).json()
    assert report["resolution"] == pytest.approx([0.25, 0.25], rel=0.01)
    assert report["roads"]["length_m"] == pytest.approx(125, rel=0.08)


@pytest.mark.parametrize(
    ("parts", "more", "status", "code", "pointer"),
    [
        ({}, {"resolution": 0.5}, 422, "parameter-invalid", "/resolution"),
        ({}, {"accept": "image/png", "include": "geotiff"}, 422, "parameter-invalid", "/include"),
        ({"buildings": features(box(0, 0, 9, 9))}, {}, 422, "footprints-invalid", "/buildings/features"),
        ({"districts": {"type": "Feature"}}, {}, 422, "districts-invalid", "/districts"),
        ({"districts": features(box(0, 0, 9, 9))}, {"accept": "image/png"}, 422, "parameter-invalid", "/districts"),
    ],
)
def test_what_does_not_fit_is_refused(
    land: AppClient, parts: Any, more: Any, status: int, code: str, pointer: str
) -> None:
    refused = ask(land, write(town(), PLACE), parts=parts, **more)
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["errors"][0]["pointer"]) == (status, code, pointer)


def test_images_that_lie_nowhere_or_too_far_away_are_refused(land: AppClient) -> None:
    picture = encode(town())
    assert ask(land, picture, accept="image/tiff").status_code == 406
    lost = ask(land, picture, parts={"districts": features(box(0, 0, 9, 9))}).json()
    assert (lost["code"], lost["errors"][0]["pointer"]) == ("geography-missing", "/districts")
    coarse = ask(land, write(town(), grid(400, 300, affine=Affine(10, 0, 366_642.5, 0, -10, 4_104_511)))).json()
    assert (coarse["code"], coarse["errors"][0]["pointer"]) == ("geometry-unsuitable", "/image")
    assert ask(land, picture, resolution=10).status_code == 422
    assert ask(land, b"text").status_code == 415
    blank = write(town(), PLACE, mask=np.zeros((300, 400), np.uint8))
    assert ask(land, blank).json()["code"] == "image-unsuitable"
