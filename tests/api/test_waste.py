"""`POST /v1/waste`: the answers, and what is refused."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.vision.labels import decide
from gateway.vision.resizing import from_scale, to_scale
from tests.support.app_client import AppClient
from tests.support.pictures import decode, encode, noise
from tests.support.trivial import label_table, probability_table
from tests.support.trivial_waste import CLASSES

JSON = {"Accept": "application/json"}
COLOURS = [spec.colour for spec in CLASSES]


def files(photo: bytes) -> dict[str, tuple[str, bytes]]:
    return {"image": ("image", photo)}


def expected(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what the trivial model says of a photograph: looked up at its scale, decided at the photograph's."""
    scaled = to_scale(photo, 64, 256, 32)
    probabilities = probability_table(3)[scaled[..., 1]]
    height, width = photo.shape[:2]
    return np.concatenate([decide(band, None) for _, band in from_scale(probabilities, (height, width))])


def blocks() -> NDArray[np.uint8]:
    """Return a photograph, (128, 128): a patch of value 1 that touches one of value 2, and a small one apart."""
    photo = np.zeros((128, 128, 3), np.uint8)
    photo[20:60, 20:60] = 128
    photo[20:60, 60:100] = 250
    photo[100:106, 10:16] = 250
    return photo


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (97, 130), (300, 211), (64, 700), (1080, 1920)])
def test_label_map_has_the_photographs_size_and_the_models_values(client: AppClient, size: tuple[int, int]) -> None:
    photo = cv2.GaussianBlur(noise(*size), (0, 0), 3).astype(np.uint8)
    answer = client.post("/v1/waste", files=files(encode(photo)))
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.headers["Maskgate-Model"]) == ("image/png", "waste-lite0")
    label_map = decode(answer.content)
    assert label_map.shape == size
    wanted = expected(photo)
    # Tiles that overlap agree with each other here, so blending changes nothing.
    np.testing.assert_array_equal(label_map, wanted)


def test_a_photograph_at_the_models_scale_is_labelled_pixel_by_pixel(client: AppClient) -> None:
    photo = noise(64, 128)
    label_map = decode(client.post("/v1/waste", files=files(encode(photo))).content)
    np.testing.assert_array_equal(label_map, label_table(3)[photo[..., 1]])


def test_report_lists_touching_classes_apart(client: AppClient) -> None:
    photo = encode(blocks())
    report = client.post("/v1/waste", files=files(photo), headers=JSON).json()
    assert (report["width"], report["height"], report["model"]) == (128, 128, "waste-lite0")
    assert [(c["value"], c["name"], tuple(c["colour"])) for c in report["classes"]] == [
        (spec.value, spec.name, spec.colour) for spec in CLASSES
    ]
    counted = np.bincount(expected(blocks()).ravel(), minlength=3).tolist()
    assert [c["pixels"] for c in report["classes"]] == counted
    assert sum(c["share"] for c in report["classes"]) == pytest.approx(1, abs=1e-5)
    named = {region["name"]: region for region in report["regions"] if region["area"] > 1000}
    assert {name: region["class"] for name, region in named.items()} == {"rigid_plastic": 1, "cardboard": 2}
    assert named["rigid_plastic"]["box"][0] < named["cardboard"]["box"][0]
    assert named["cardboard"]["area"] == pytest.approx(1600, rel=0.1)
    assert all(0.3 < region["confidence"] <= 1 for region in report["regions"])
    assert report["notices"] == []
    assert report["provenance"]["input_digest"] == f"sha256:{hashlib.sha256(photo).hexdigest()}"
    assert report["provenance"]["engine"] == "embedded"


def test_small_pieces_are_listed_when_asked_for(client: AppClient) -> None:
    def areas(query: str) -> list[int]:
        report = client.post(f"/v1/waste{query}", files=files(encode(blocks())), headers=JSON).json()
        return [region["area"] for region in report["regions"]]

    few, all_of_them, large = areas(""), areas("?min_area=1"), areas("?min_area=1000")
    assert min(few) >= 64 > min(all_of_them)
    assert len(large) == 2 < len(all_of_them)


def test_overlay_shows_the_photograph_and_below_it_the_legend(client: AppClient) -> None:
    photo = blocks()
    overlay = decode(client.post("/v1/waste?overlay=true", files=files(encode(photo))).content)
    assert overlay.shape[1:] == (128, 3)
    assert overlay.shape[0] > 128
    np.testing.assert_array_equal(overlay[110:128], photo[110:])
    inside = overlay[40, 80].astype(int)
    assert inside[1] > inside[0] + 40, "cardboard is drawn in green"
    legend = overlay[128:].reshape(-1, 3)
    for colour in COLOURS[1:]:
        assert (legend == colour).all(axis=1).any()
    assert (legend == 255).all(axis=1).mean() > 0.3


def test_one_request_can_bring_report_and_pictures(client: AppClient) -> None:
    photo = files(encode(blocks()))
    report = client.post("/v1/waste?include=label_map&include=overlay", files=photo, headers=JSON).json()
    assert b64decode(report["pictures"]["label_map"]) == client.post("/v1/waste", files=photo).content
    assert b64decode(report["pictures"]["overlay"]) == client.post("/v1/waste?overlay=true", files=photo).content


def test_a_photograph_that_shrinks_much_is_said_so(client: AppClient) -> None:
    photo = encode(np.full((600, 400, 3), 250, np.uint8))
    report = client.post("/v1/waste", files=files(photo), headers=JSON).json()
    assert report["notices"] == ["photograph seen at 64×96, 6.2 times smaller: small pieces are lost"]
    assert "64x96" in client.post("/v1/waste", files=files(photo)).headers["Maskgate-Notices"]


def test_alpha_is_dropped_and_said_so(client: AppClient) -> None:
    photo = np.dstack([noise(64, 64), np.full((64, 64), 9, np.uint8)])
    answer = client.post("/v1/waste", files=files(encode(photo)))
    np.testing.assert_array_equal(decode(answer.content), label_table(3)[photo[..., 1]])
    assert "alpha" in answer.headers["Maskgate-Notices"]


@pytest.mark.parametrize(
    ("query", "parts", "accept", "status"),
    [
        ("", {"image": ("image", b"no picture")}, None, 415),
        ("", {"image": ("image", encode(noise(64, 64))[:-900])}, None, 422),
        ("", {"image": ("image", encode(noise(20, 90)))}, None, 422),
        ("", {"photo": ("photo", encode(noise(64, 64)))}, None, 400),
        ("?model=trivial", {}, None, 404),
        ("?model=none", {}, None, 404),
        ("?version=7", {}, None, 404),
        ("?min_area=0", {}, "application/json", 422),
        ("?overlay=true", {}, "application/json", 422),
        ("?include=overlay", {}, "image/png", 422),
        ("", {}, "image/tiff", 406),
    ],
)
def test_bad_input_is_a_problem(
    client: AppClient, query: str, parts: dict[str, Any], accept: str | None, status: int
) -> None:
    sent = parts or files(encode(noise(64, 64)))
    answer = client.post(f"/v1/waste{query}", files=sent, headers={"Accept": accept} if accept else {})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert "Traceback" not in answer.text


def test_a_photograph_over_the_limit_is_refused_before_it_is_decoded(client: AppClient, decoded: list[None]) -> None:
    header = encode(noise(64, 64))
    declared = header[:16] + (30_000).to_bytes(4, "big") + (30_000).to_bytes(4, "big") + header[24:]
    answer = client.post("/v1/waste", files=files(declared))
    assert answer.status_code == 413
    assert decoded == []
