"""One result, whatever form is asked for: the picture path and the scene path decide the same of the same pair."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import numpy as np
import pytest

from tests.support.app_client import AppClient
from tests.support.pictures import decode, encode, noise

WHITE = (240, 240, 240)


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
