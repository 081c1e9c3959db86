"""`POST /v1/damage?declouded=true`: clouds are taken off first, and what is invented is no evidence."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from tests.api.test_footprints import collection, house
from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.pictures import encode, noise
from tests.support.trivial_restore import GROUND

JSON, GEOJSON = "application/json", "application/geo+json"
HEIGHT, WIDTH = 300, 400
PLACE = grid(WIDTH, HEIGHT)
HOUSE = 140
"""A level that the model of damage takes for a building, and the other one not for cloud."""


def ground() -> NDArray[np.uint8]:
    """Return two houses on dark ground."""
    pixels = noise(HEIGHT, WIDTH) // 8 + 1
    pixels[40:80, 40:80] = HOUSE
    pixels[40:80, 300:340] = HOUSE
    return pixels


def under_cloud() -> NDArray[np.uint8]:
    """Return the same with a cloud over the second house, and beyond."""
    pixels = ground()
    pixels[20:120, 280:380] = 250
    return pixels


def ask(client: AppClient, pre: bytes, post: bytes, accept: str = JSON, **more: Any) -> Any:
    parts = {"pre": pre, "post": post, **more.pop("parts", {})}
    answer = client.post("/v1/damage", files=parts, headers={"Accept": accept}, params=more)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("pack", [encode, lambda pixels: write(pixels, PLACE)], ids=["picture", "geotiff"])
def test_a_building_on_invented_ground_is_uncertain(client: AppClient, pack: Any) -> None:
    report = ask(client, pack(ground()), pack(under_cloud()), declouded="true")
    share = 100 * 100 / (HEIGHT * WIDTH)
    told = report["declouded"]
    assert (told["model"], told["version"]) == ("restore-gan", 1)
    assert told["digest"].startswith("sha256:")
    assert (told["pre_invented_share"], told["post_invented_share"]) == (0, pytest.approx(share, abs=1e-5))
    assert told["invented_share"] == pytest.approx(share, abs=1e-5)
    assert any("is invented by restore-gan" in notice for notice in report["notices"])
    # The cloud begins above both houses.
    invented, seen = report["regions"]
    assert (seen["uncertain"], seen["invented_share"]) == (False, 0)
    assert (invented["uncertain"], invented["invented_share"]) == (True, 1)
    # In the place of the cloud is what the model draws.
    assert invented["class"] == GROUND * 5 // 256
    assert invented["confidence"] > report["uncertain_below"]
    assert sum(one["uncertain"] for one in report["classes"]) == 1


def test_without_it_nothing_is_told_of_clouds(client: AppClient) -> None:
    report = ask(client, write(ground(), PLACE), write(under_cloud(), PLACE))
    assert report["declouded"] is None
    assert {one["invented_share"] for one in report["regions"]} == {None}
    feature = ask(client, write(ground(), PLACE), write(ground(), PLACE), GEOJSON)["features"][0]
    assert "invented_share" not in feature["properties"]


def test_features_and_footprints_tell_it_too(client: AppClient) -> None:
    pre, post = write(ground(), PLACE), write(under_cloud(), PLACE)
    found = ask(client, pre, post, GEOJSON, declouded="true")
    assert [one["properties"]["invented_share"] for one in found["features"]] == [1, 0]
    assert [one["properties"]["uncertain"] for one in found["features"]] == [True, False]
    assert found["declouded"]["model"] == "restore-gan"
    # The third is half within the cloud, the last lies outside of the image.
    known = collection(
        house(40, 40, 80, 80), house(300, 40, 340, 80), house(240, 30, 320, 60), house(900, 900, 950, 950)
    )
    told = ask(client, pre, post, declouded="true", parts={"footprints": known})["footprints"]
    assert [one["invented_share"] for one in told] == [0, 1, pytest.approx(0.5, abs=0.02), 0]
    assert [one["uncertain"] for one in told] == [False, True, True, False]


def test_the_map_of_confidence_has_the_least_on_invented_ground(client: AppClient) -> None:
    pre, post = write(ground(), PLACE), write(under_cloud(), PLACE)

    def confidence(**more: Any) -> tuple[NDArray[np.uint8], dict[str, str]]:
        answer = ask(client, pre, post, include="confidence", **more)
        with MemoryFile(b64decode(answer["files"]["confidence"])) as memory, memory.open() as file:
            return file.read(1), file.tags()

    found, told = confidence(declouded="true")
    cloud = np.zeros((HEIGHT, WIDTH), np.bool_)
    cloud[20:120, 280:380] = True
    assert (found[cloud] == 1).all()
    assert told["INVENTED"].startswith("1")
    left, told = confidence()
    assert "INVENTED" not in told
    np.testing.assert_array_equal(found[~cloud], left[~cloud])
    assert found[~cloud].min() > 1


def test_what_is_cleared_is_priced_apart_and_bounded(
    client: AppClient, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[str] = []
    monkeypatch.setattr(client.services.admission.prices, "learn", lambda kind, *_: learnt.append(kind.what))
    ask(client, encode(ground()), encode(ground()), declouded="true")
    assert set(learnt) == {"trivial declouded"}
    small = start(limits={"image_pixels": HEIGHT * WIDTH - 1})
    parts = {"pre": write(ground(), PLACE), "post": write(ground(), PLACE)}
    answer = small.post("/v1/damage", files=parts, params={"declouded": "true"}, headers={"Accept": JSON})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (413, "image-too-large")
    assert problem["errors"][0]["pointer"] == "/pre"
