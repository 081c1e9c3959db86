"""`POST /v1/damage`: how sure the classes of buildings are."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.io import MemoryFile
from rio_cogeo.cogeo import cog_validate

from gateway.media.gdal import contained
from tests.api.test_footprints import PLACE, collection, ground, house
from tests.api.test_scenes import GEOJSON, JSON, SIDE, ask, pair, parts, scene
from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.pictures import encode
from tests.support.trivial import probability_table

PROBABILITIES = probability_table(5)


def test_each_building_has_the_probability_of_each_class(client: AppClient) -> None:
    report = ask(client, pair(), JSON)
    inside = PROBABILITIES[scene()[250:300, 200:330, 1]].reshape(-1, 5).mean(axis=0)[1:]
    scores = report["regions"][1]["scores"]
    assert list(scores) == ["band-1", "band-2", "band-3", "band-4"]
    assert list(scores.values()) == pytest.approx(inside / inside.sum(), abs=3e-3)
    assert (report["uncertain_below"], report["seen_twice"]) == (0.5, False)
    assert [region["disagreement"] for region in report["regions"]] == [None, None]
    properties = ask(client, pair(), GEOJSON)["features"][1]["properties"]
    assert [properties[f"p_{name}"] for name in scores] == list(scores.values())
    assert properties["uncertain"] is False
    assert "disagreement" not in properties


def test_below_the_threshold_a_building_is_uncertain(client: AppClient) -> None:
    sure = sorted(region["confidence"] for region in ask(client, pair(), JSON)["regions"])
    for below, count in ((0.0, 0), (sure[0], 0), (1.0, 2)):
        report = ask(client, pair(), JSON, uncertain_below=below)
        assert sum(region["uncertain"] for region in report["regions"]) == count
        assert sum(c["uncertain"] for c in report["classes"]) == count
    data = write(ground(), PLACE)
    files = parts(data, data, footprints=collection(house(20, 160, 120, 260), house(900, 900, 950, 950)))
    known, away = ask(client, files, JSON, uncertain_below=1)["footprints"]
    assert (known["uncertain"], away["uncertain"]) == (True, False)


@pytest.mark.parametrize("value", ["-0.1", "1.1", "much"])
def test_a_threshold_is_a_probability(client: AppClient, value: str) -> None:
    answer = client.post("/v1/damage", files=pair(), params={"uncertain_below": value})
    assert answer.status_code in (400, 422), answer.text


def test_confidence_is_a_map_beside_the_map(client: AppClient, tmp_path: Path) -> None:
    post = scene()
    post[:, :100] = 7
    files = parts(write(scene(), grid(SIDE, SIDE)), write(post, grid(SIDE, SIDE), nodata=7))
    report = ask(client, files, JSON, include=["confidence", "geotiff"], align="off")
    content = b64decode(report["files"]["confidence"])
    with contained(), MemoryFile(content) as memory, memory.open() as file:
        sureness, seen = file.read(1), file.read_masks(1) > 0
        assert (file.crs.to_string(), file.transform, file.nodata) == ("EPSG:32615", grid(SIDE, SIDE).affine, 0)
        assert file.tags()["CONFIDENCE"]
    with contained(), MemoryFile(b64decode(report["files"]["geotiff"])) as memory, memory.open() as file:
        labels = file.read(1)
    np.testing.assert_array_equal(seen, labels != 255)
    expected = PROBABILITIES[post[..., 1]].max(axis=-1)
    np.testing.assert_array_equal(sureness[seen], expected[seen])
    path = tmp_path / "confidence.tif"
    path.write_bytes(content)
    valid, errors, _ = cog_validate(path)
    assert (valid, errors) == (True, [])


def test_a_mirror_shows_a_model_of_single_pixels_nothing_new(client: AppClient) -> None:
    once, twice = (ask(client, pair(), JSON, **more) for more in ({}, {"tta": "flip"}))
    assert twice["seen_twice"] is True
    assert [region["disagreement"] for region in twice["regions"]] == [0, 0]
    assert [c["pixels"] for c in twice["classes"]] == [c["pixels"] for c in once["classes"]]
    assert ask(client, pair(), GEOJSON, tta="flip")["features"][0]["properties"]["disagreement"] == 0


def test_what_is_asked_twice_is_priced_apart(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[str] = []
    monkeypatch.setattr(client.services.admission.prices, "learn", lambda kind, *_: learnt.append(kind.what))
    ask(client, pair(), JSON)
    assert set(learnt) == {"trivial"}
    ask(client, pair(), JSON, tta="flip")
    assert set(learnt) == {"trivial", "trivial flip"}


def test_pictures_may_be_seen_twice_too(client: AppClient) -> None:
    picture = encode(scene())
    report = ask(client, parts(picture, picture), JSON, tta="flip")
    assert [region["disagreement"] for region in report["regions"]] == [0, 0]


def test_json_is_finite(client: AppClient) -> None:
    def strict(text: str) -> Any:
        raise AssertionError(text)

    answer = client.post("/v1/damage", files=pair(), headers={"Accept": JSON}, params={"tta": "flip"})
    json.loads(answer.content, parse_constant=strict)
