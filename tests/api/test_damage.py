"""`POST /v1/damage`: the answers."""

from __future__ import annotations

import hashlib
from base64 import b64decode

import cv2
import numpy as np
import pytest

from tests.support.app_client import AppClient
from tests.support.pictures import decode, encode, noise
from tests.support.trivial import PALETTE, label_table

LABELS = label_table(5)


def files(pre: bytes, post: bytes) -> dict[str, tuple[str, bytes]]:
    return {"pre": ("pre", pre), "post": ("post", post)}


@pytest.mark.parametrize("size", [(64, 64), (65, 64), (64, 200), (130, 97), (300, 211)])
def test_label_map_has_the_size_of_pre_and_the_values_of_the_model(client: AppClient, size: tuple[int, int]) -> None:
    post = noise(*size, seed=1)
    answer = client.post("/v1/damage", files=files(encode(noise(*size)), encode(post)))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(decode(answer.content), LABELS[post[..., 1]])


def test_png_is_indexed_with_the_palette_of_the_card(client: AppClient) -> None:
    import io

    from PIL import Image

    pixels = noise(64, 64)
    answer = client.post("/v1/damage", files=files(encode(pixels), encode(pixels)))
    image = Image.open(io.BytesIO(answer.content))
    assert image.mode == "P"
    palette = image.getpalette()
    assert palette is not None
    assert palette[: 3 * len(PALETTE)] == [level for colour in PALETTE for level in colour]


def test_answer_names_model_request_and_times(client: AppClient) -> None:
    pixels = encode(noise(100, 100))
    answer = client.post("/v1/damage", files=files(pixels, pixels), headers={"X-Request-ID": "mine-7"})
    assert answer.headers["X-Request-ID"] == "mine-7"
    assert answer.headers["Maskgate-Model"] == "trivial"
    assert answer.headers["Maskgate-Version"] == "1"
    assert answer.headers["Maskgate-Digest"].startswith("sha256:")
    assert answer.headers["Cache-Control"] == "private, no-store"
    stages = [entry.split(";")[0] for entry in answer.headers["Server-Timing"].split(", ")]
    assert stages == ["receive", "queue", "decode", "infer", "finish", "encode"]


def test_a_request_id_that_is_not_one_is_replaced(client: AppClient) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": "a b\tc"})
    assert answer.headers["X-Request-ID"] != "a b\tc"
    assert len(answer.headers["X-Request-ID"]) == 32


def test_report_counts_pixels_and_lists_buildings(client: AppClient) -> None:
    pre = encode(np.zeros((160, 150, 3), np.uint8))
    scene = np.zeros((160, 150, 3), np.uint8)
    scene[10:30, 20:50] = 60  # value 1
    scene[90:120, 100:140] = 250  # value 4
    post = encode(scene)
    report = client.post("/v1/damage", files=files(pre, post), headers={"Accept": "application/json"}).json()
    assert (report["width"], report["height"], report["model"]) == (150, 160, "trivial")
    assert [c["pixels"] for c in report["classes"]] == [160 * 150 - 600 - 1200, 600, 0, 0, 1200]
    assert sum(c["share"] for c in report["classes"]) == pytest.approx(1, abs=1e-5)
    first, second = report["regions"]
    assert (first["class"], first["name"], first["area"], first["box"]) == (1, "band-1", 600, [20, 10, 50, 30])
    assert sorted(first["polygon"]) == [[20, 10], [20, 29], [49, 10], [49, 29]]
    assert (second["class"], second["area"]) == (4, 1200)
    assert 0.8 <= second["confidence"] <= 1
    assert report["notices"] == []
    provenance = report["provenance"]
    assert provenance["model"] == "trivial"
    assert provenance["engine"] == "embedded"
    parts = hashlib.sha256(pre).digest() + hashlib.sha256(post).digest()
    assert provenance["input_digest"] == f"sha256:{hashlib.sha256(parts).hexdigest()}"


def test_report_and_label_map_agree(client: AppClient) -> None:
    pixels = encode(noise(190, 260, seed=4))
    labels = decode(client.post("/v1/damage", files=files(pixels, pixels)).content)
    report = client.post("/v1/damage", files=files(pixels, pixels), headers={"Accept": "application/json"}).json()
    assert [c["pixels"] for c in report["classes"]] == np.bincount(labels.ravel(), minlength=5).tolist()
    areas = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    assert sorted(region["area"] for region in report["regions"]) == sorted(areas[areas >= 25])


def test_one_request_can_bring_report_and_pictures(client: AppClient) -> None:
    pair = files(encode(noise(150, 90)), encode(noise(150, 90, seed=1)))
    report = client.post(
        "/v1/damage?include=label_map&include=overlay", files=pair, headers={"Accept": "application/json"}
    ).json()
    assert b64decode(report["pictures"]["label_map"]) == client.post("/v1/damage", files=pair).content
    assert b64decode(report["pictures"]["overlay"]) == client.post("/v1/damage?overlay=true", files=pair).content
    assert client.post("/v1/damage", files=pair, headers={"Accept": "application/json"}).json()["pictures"] == {}


def test_overlay_shows_post_where_nothing_was_found(client: AppClient) -> None:
    post = np.full((80, 90, 3), 40, np.uint8)
    post[20:50, 30:60] = 250
    answer = client.post("/v1/damage?overlay=true", files=files(encode(post), encode(post)))
    overlay = decode(answer.content)
    assert overlay.shape == (80, 90, 3)
    np.testing.assert_array_equal(overlay[:10], post[:10])
    inside = overlay[35, 45].astype(int)
    assert inside[0] > inside[1] + 50, "destroyed is drawn in red"


def test_a_larger_post_is_brought_to_the_pre_grid_and_said_so(client: AppClient) -> None:
    pre = encode(noise(80, 100))
    large = encode(np.full((160, 200, 3), 250, np.uint8))
    answer = client.post("/v1/damage", files=files(pre, large))
    assert decode(answer.content).shape == (80, 100)
    assert answer.headers["Maskgate-Notices"] == "post image resized from 200x160 to 100x80"
    report = client.post("/v1/damage", files=files(pre, large), headers={"Accept": "application/json"}).json()
    assert report["notices"] == ["post image resized from 200×160 to 100×80"]


def test_a_model_that_reads_pre_alone_says_so(client: AppClient) -> None:
    pre = np.full((70, 70, 3), 200, np.uint8)
    answer = client.post("/v1/damage?model=pre-only", files=files(encode(pre), encode(noise(70, 70))))
    assert (decode(answer.content) == 1).all()
    assert "pre image alone" in answer.headers["Maskgate-Notices"]


def test_exif_orientation_turns_the_grid(client: AppClient) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to display
    post = noise(80, 120, seed=3)
    turned = encode(np.rot90(post), exif=exif.tobytes())
    answer = client.post("/v1/damage", files=files(turned, turned))
    np.testing.assert_array_equal(decode(answer.content), LABELS[post[..., 1]])


def test_alpha_grey_and_sixteen_bits_are_taken(client: AppClient) -> None:
    grey = noise(70, 90, seed=5)[..., 1]
    rgba = np.dstack([np.repeat(grey[..., None], 3, axis=2), np.full_like(grey, 255)])
    for post in (encode(grey), encode(rgba), encode(grey.astype(np.uint16) * 257)):
        answer = client.post("/v1/damage", files=files(encode(grey), post))
        assert answer.status_code == 200, answer.text
        np.testing.assert_array_equal(decode(answer.content), LABELS[grey])


@pytest.mark.parametrize("hidden", ["pre", "post"])
def test_transparent_ground_is_not_assessed(client: AppClient, hidden: str) -> None:
    shown = noise(160, 200, seed=5)
    clear = np.dstack([shown, np.full((160, 200), 255, np.uint8)])
    clear[:, :50, 3] = 0
    pair = {"pre": encode(shown), "post": encode(shown)} | {hidden: encode(clear)}
    answer = client.post("/v1/damage", files=pair)
    labels = LABELS[shown[..., 1]].copy()
    labels[:, :50] = 0
    np.testing.assert_array_equal(decode(answer.content), labels)
    assert "25.0% of the pair is transparent" in answer.headers["Maskgate-Notices"]
    report = client.post("/v1/damage", files=pair, headers={"Accept": "application/json"}).json()
    assert sum(row["pixels"] for row in report["classes"]) == 160 * 150
    assert sum(row["share"] for row in report["classes"]) == pytest.approx(1, abs=1e-5)
    assert all(region["box"][0] >= 50 for region in report["regions"])
    # Of another size, which hides the seam too: what a pixel there takes from nothing would be darkened.
    halved = {**pair, hidden: encode(clear[::2, ::2])}
    seen = decode(client.post("/v1/damage", files=halved).content)
    assert not seen[:, : seen.shape[1] // 4].any()
    assert seen[:, seen.shape[1] // 4 + 1 :].any()


def test_pictures_that_show_nothing_of_the_same_ground_are_refused(client: AppClient) -> None:
    shown = noise(80, 100, seed=5)
    left, right = (np.dstack([shown, np.full((80, 100), 255, np.uint8)]) for _ in range(2))
    left[:, 50:, 3], right[:, :50, 3] = 0, 0
    answer = client.post("/v1/damage", files={"pre": encode(left), "post": encode(right)})
    assert (answer.status_code, answer.json()["code"]) == (422, "pair-unobserved")
    assert "0.00% is seen in all of them" in answer.json()["detail"]


def test_concurrent_requests_get_their_own_answers(client: AppClient) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(level: int) -> bool:
        post = encode(np.full((150, 150, 3), level, np.uint8))
        labels = decode(client.post("/v1/damage", files=files(post, post)).content)
        return bool((labels == LABELS[level]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(0, 256, 8)))
