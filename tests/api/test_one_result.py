"""One result, whatever form is asked for: the picture path and the scene path decide the same of the same pair."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.repository.card import VoteSpec
from gateway.vision.votes import voted
from tests.api.conftest import Start
from tests.support.app_client import AppClient
from tests.support.pictures import decode, encode, noise
from tests.support.table_engine import LABELS
from tests.support.trivial import write_trivial_model

WHITE = (240, 240, 240)
VOTE = VoteSpec(apart=4, least=0.1, largest=48)


def pair(height: int, width: int, clouds: str) -> dict[str, bytes]:
    """Return a pair, in parts of which there are clouds or nothing at all; plain pictures are taken as they are."""
    images = {"pre": noise(height, width, seed=1).copy(), "post": noise(height, width, seed=2).copy()}
    if clouds != "none":
        images["post"][: height // 2, : width // 2] = WHITE
    if clouds == "both":
        images["pre"][height // 2 :, width // 2 :] = 0
    return {name: encode(image) for name, image in images.items()}


def ask(client: AppClient, images: dict[str, bytes], accept: str, **query: str) -> Any:
    return client.post("/v1/damage", files=images, params=query, headers={"Accept": accept})


@pytest.fixture
def voting(start: Start, tmp_path: Path) -> AppClient:
    """Return a client of an app whose damage model has one grade per roof."""
    write_trivial_model(tmp_path, vote=VOTE)
    return start(models={"repository": tmp_path})


@pytest.mark.parametrize("clouds", ["none", "post", "both"])
@pytest.mark.parametrize("size", [(300, 420), (64, 64)])
def test_every_form_has_the_same_buildings(client: AppClient, size: tuple[int, int], clouds: str) -> None:
    images = pair(*size, clouds)
    plain = ask(client, images, "application/json", include="label_map").json()
    scene = ask(client, images, "application/json", include="quicklook").json()
    assert [r["box"] for r in plain["regions"]] == [r["box"] for r in scene["regions"]]
    assert [r["confidence"] for r in plain["regions"]] == [r["confidence"] for r in scene["regions"]]
    assert [(c["value"], c["pixels"], c["share"]) for c in plain["classes"]] == [
        (c["value"], c["pixels"], c["share"]) for c in scene["classes"]
    ]
    labels = decode(ask(client, images, "image/png").content)
    np.testing.assert_array_equal(decode(b64decode(plain["pictures"]["label_map"])), labels)
    aligned = ask(client, images, "image/png", align="off")
    np.testing.assert_array_equal(decode(aligned.content), labels)
    assert plain["notices"] == scene["notices"]
    assert scene["observed_share"] == 1


def test_every_form_has_one_grade_per_roof(voting: AppClient) -> None:
    """Houses of two grades and ruins, one of them across the tiles, and a quarter that is no one building."""
    post = np.zeros((200, 300, 3), np.uint8)
    for y, x, height, width in ((10, 10, 30, 40), (50, 40, 40, 30), (120, 5, 20, 20), (100, 100, 60, 190)):
        post[y : y + height, x : x + width] = 60
        post[y : y + height // 3, x : x + width] = 120
        post[y + height - 3 : y + height, x : x + width] = 250
    images = {"pre": encode(noise(200, 300, seed=1)), "post": encode(post)}
    own = LABELS[post[..., 1]]
    expected, _ = voted(own, VOTE)
    assert (expected != own).any()
    assert (expected[100:120, 100:290] == 2).all(), "what is 190 pixels long is several buildings"
    labels = decode(ask(voting, images, "image/png").content)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(decode(ask(voting, images, "image/png", align="off").content), expected)
    plain = ask(voting, images, "application/json", include="label_map").json()
    scene = ask(voting, images, "application/json", include="quicklook").json()
    np.testing.assert_array_equal(decode(b64decode(plain["pictures"]["label_map"])), expected)
    assert [r["class"] for r in plain["regions"]] == [1] * 4
    for key in ("box", "class", "confidence"):
        assert [r[key] for r in plain["regions"]] == [r[key] for r in scene["regions"]]
    # What was outvoted was given little.
    assert plain["regions"][0]["confidence"] < plain["regions"][2]["confidence"], "the one that does not vote"
