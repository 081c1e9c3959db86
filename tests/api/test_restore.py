"""`POST /v1/restore`: images without clouds, with and without geography, and what of them is invented."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rio_cogeo.cogeo import cog_validate

from gateway.media.gdal import contained
from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.pictures import decode, encode
from tests.support.trivial_restore import DIMMED, GROUND, THIN

JSON, PNG, TIFF = "application/json", "image/png", "image/tiff"
WIDTH, HEIGHT = 200, 120
PLACE = grid(WIDTH, HEIGHT)
CLEAR, HAZY, HIDDEN = 90, 180, 240


def ask(client: AppClient, image: bytes, accept: str = JSON, **params: Any) -> httpx.Response:
    return client.post("/v1/restore", files={"image": image}, headers={"Accept": accept}, params=params)


def clouded() -> NDArray[np.uint8]:
    """Return ground of one level, hazy in the left quarter, hidden in the right one."""
    pixels = np.full((HEIGHT, WIDTH, 3), CLEAR, np.uint8)
    pixels[:, :50], pixels[:, 150:] = HAZY, HIDDEN
    return pixels


def expected() -> NDArray[np.uint8]:
    pixels = np.full((HEIGHT, WIDTH, 3), CLEAR, np.uint8)
    pixels[:, :50], pixels[:, 150:] = HAZY - DIMMED, GROUND
    return pixels


def test_a_picture_comes_back_without_its_clouds(client: AppClient) -> None:
    answer = ask(client, encode(clouded()), "*/*")
    assert (answer.status_code, answer.headers["content-type"]) == (200, PNG), answer.text
    np.testing.assert_array_equal(decode(answer.content), expected())
    assert "25.0% of the image is invented by restore-gan" in answer.headers["Maskgate-Notices"]
    assert answer.headers["Maskgate-Model"] == "restore-gan"
    clear = ask(client, encode(np.full((HEIGHT, WIDTH, 3), CLEAR, np.uint8)), PNG)
    assert "Maskgate-Notices" not in clear.headers


def test_the_report_says_how_much_was_covered_and_is_invented_and_brings_pictures(client: AppClient) -> None:
    report = ask(client, encode(clouded()), include=["image", "invented"]).json()
    assert (report["covered_share"], report["invented_share"], report["observed_share"]) == (0.5, 0.25, 1.0)
    assert (report["width"], report["height"], report["files"]) == (WIDTH, HEIGHT, {})
    np.testing.assert_array_equal(decode(b64decode(report["pictures"]["image"])), expected())
    invented = decode(b64decode(report["pictures"]["invented"]))
    assert invented.shape == (HEIGHT, WIDTH)
    assert (invented[:, :50] == THIN).all()
    assert (invented[:, 150:] == 255).all()
    assert not invented[:, 50:150].any()


def test_a_geotiff_stays_where_it_lies_and_black_where_it_shows_nothing(client: AppClient, tmp_path: Path) -> None:
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:60] = 0
    image = write(clouded(), PLACE, mask=mask)
    answer = ask(client, image, TIFF)
    assert answer.status_code == 200, answer.text
    with contained(), MemoryFile(answer.content) as memory, memory.open() as file:
        assert (file.crs, file.transform) == (PLACE.crs, PLACE.affine)
        assert file.descriptions == ("red", "green", "blue", "invented")
        assert file.tags()["MODEL"] == "restore-gan"
        bands, seen = file.read(), file.dataset_mask() > 0
    np.testing.assert_array_equal(seen, mask > 0)
    np.testing.assert_array_equal(np.moveaxis(bands[:3], 0, -1)[60:], expected()[60:])
    assert not bands[:, :60].any()
    assert (bands[3, 60:, 150:] == 255).all()
    path = tmp_path / "restored.tif"
    path.write_bytes(answer.content)
    valid, errors, _ = cog_validate(path)
    assert (valid, errors) == (True, [])
    report = ask(client, image, include="geotiff").json()
    assert b64decode(report["files"]["geotiff"])[:2] in (b"II", b"MM")
    assert (report["observed_share"], report["invented_share"]) == (0.5, 0.25)
    assert any("stays black" in notice for notice in report["notices"])


def test_what_is_transparent_stays_black(client: AppClient) -> None:
    picture = np.dstack([clouded(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    picture[:60, :, 3] = 0
    answer = ask(client, encode(picture), "image/png")
    restored = decode(answer.content)
    assert not restored[:60].any()
    np.testing.assert_array_equal(restored[60:], expected()[60:])
    assert "50.0% of the image not observed" in answer.headers["Maskgate-Notices"]


def test_what_cannot_be_answered_is_refused(client: AppClient) -> None:
    picture = encode(clouded())
    assert ask(client, picture, TIFF).status_code == 406
    refused = ask(client, picture, include="geotiff").json()
    assert (refused["code"], refused["errors"][0]["pointer"]) == ("parameter-invalid", "/include")
    assert ask(client, b"text").status_code == 415
    assert ask(client, picture, overlay="true").json()["code"] == "parameter-invalid"
    assert ask(client, picture, model="trivial").status_code in (404, 422)
    blank = write(clouded(), PLACE, mask=np.zeros((HEIGHT, WIDTH), np.uint8))
    assert ask(client, blank).json()["code"] == "image-unsuitable"


@pytest.mark.parametrize("path", ["/v1/tasks", "/metrics"])
def test_it_is_told_of_where_tasks_are(client: AppClient, path: str) -> None:
    ask(client, encode(clouded()))
    assert "restore" in client.get(path).text
