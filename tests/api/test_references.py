"""Scenes by reference: read where they lie, out of the stores that are allowed, and no more of them than is needed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from affine import Affine

from gateway.access.keys import digest_of, new_key
from gateway.media.geo import black_border
from gateway.media.geo.georeference import GeoGrid
from gateway.stores import ranges
from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.jobs import ended
from tests.support.pictures import encode, noise
from tests.support.range_store import RangeStore, range_store

pytest.importorskip("obstore", reason="the extra `jobs` is not installed")

SIDE = 1536
PLACE = grid(SIDE, SIDE)
JSON = {"Accept": "application/json"}


@cache
def scene(seed: int = 0) -> bytes:
    """Return ground of class 0, never of one colour, with two buildings near its middle, in tiles."""
    pixels = np.random.default_rng(seed).integers(1, 33, (SIDE, SIDE, 3), np.uint8)
    pixels[1000:1050, 1000:1080, 1] = 60
    pixels[1100:1130, 1020:1050, 1] = 250
    return write(pixels, PLACE, tiled=True, blockxsize=128, blockysize=128)


def halves() -> tuple[bytes, bytes]:
    """Return the scene as a left and a right half."""
    pixels = np.random.default_rng(0).integers(1, 33, (600, 600, 3), np.uint8)
    pixels[100:150, 200:400, 1] = 60
    place = grid(600, 600)
    right = grid(300, 600, affine=place.affine @ place.affine.translation(300, 0))
    return write(pixels[:, :300], grid(300, 600)), write(pixels[:, 300:], right)


def box(x0: int, y0: int, x1: int, y1: int) -> str:
    """Return pixels of the scene as a box in degrees, which is turned a little to them."""
    corners = PLACE.to_lon_lat([(x0, y1), (x1, y0)])
    return ",".join(f"{value:.9f}" for value in corners.ravel())


@pytest.fixture
def store() -> Iterator[RangeStore]:
    with range_store() as running:
        running.files = {"/in/pre.tif": scene(), "/in/post.tif": scene(1), "/out/pre.tif": scene()}
        yield running


@pytest.fixture
def client(start: Callable[..., AppClient], store: RangeStore) -> AppClient:
    return start(jobs={"stores": [f"{store.address}/in/"]})


def asked(client: AppClient, pre: Any, post: Any, **params: Any) -> httpx.Response:
    """Return the answer about a pair, each of which is JSON or a file."""
    files = {
        name: part if isinstance(part, bytes) else json.dumps(part).encode()
        for name, part in {"pre": pre, "post": post}.items()
    }
    return client.post("/v1/damage", files=files, headers=JSON, params=params)


def pair(store: RangeStore) -> tuple[Any, Any]:
    return {"url": f"{store.address}/in/pre.tif"}, {"url": f"{store.address}/in/post.tif"}


def test_a_part_of_a_large_pair_reads_a_fraction_of_it(client: AppClient, store: RangeStore) -> None:
    part = {"bbox": box(950, 950, 1150, 1150), "align": "off"}
    answer = asked(client, *pair(store), **part)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert 200 <= report["width"] <= report["height"] < 215
    assert [region["area"] for region in report["regions"]] == [4000, 900]
    whole = sum(len(store.files[f"/in/{name}.tif"]) for name in ("pre", "post"))
    assert store.sent < 0.12 * whole, f"{store.sent} of {whole} bytes"
    sent = asked(client, scene(), scene(1), **part).json()
    digests = [one.pop("provenance")["input_digest"] for one in (report, sent)]
    assert report == sent
    assert digests[0] != digests[1]
    again = asked(client, *pair(store), **part).json()
    assert again["provenance"]["input_digest"] == digests[0]


def test_tiles_and_assets_of_an_item_are_put_together(client: AppClient, store: RangeStore) -> None:
    left, right = halves()
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "assets": {
            "pre": {"href": "./left.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]},
            "east": {"href": f"{store.address}/in/right.tif"},
            "thumbnail": {"href": "https://elsewhere.example/small.png", "roles": ["thumbnail"]},
        },
    }
    store.files |= {"/in/left.tif": left, "/in/right.tif": right, "/in/item.json": json.dumps(item).encode()}
    stac, url = f"{store.address}/in/item.json", f"{store.address}/in"
    answer = asked(
        client,
        [{"stac": stac}, {"stac": stac, "asset": "east"}],
        [{"url": f"{url}/left.tif"}, {"url": f"{url}/right.tif"}],
        align="off",
    )
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["width"], report["height"]) == (600, 600)
    assert [region["box"] for region in report["regions"]] == [[200, 100, 400, 150]]
    files = [("pre", left), ("pre", right), ("post", left), ("post", right)]
    sent = client.post("/v1/damage?align=off", files=files, headers=JSON).json()
    assert sent["regions"] == report["regions"]
    named = asked(client, {"stac": stac, "asset": "west"}, {"url": f"{url}/left.tif"})
    assert (named.status_code, named.json()["code"]) == (422, "reference-invalid")
    assert "There are: east, pre, thumbnail." in named.json()["detail"]
    unnamed = asked(client, {"url": f"{url}/left.tif"}, {"stac": stac})
    assert unnamed.status_code == 200, "the only TIFF of those assets: pre"


@pytest.mark.parametrize(
    "reference",
    [
        {"url": "{out}/out/pre.tif"},
        {"url": "{out}/in/../out/pre.tif"},
        {"url": "{out}/in/%2e%2e/out/pre.tif"},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "http://localhost:1/in/pre.tif"},
        {"url": "http://2130706433/in/pre.tif"},
        {"url": "http://[::1]/in/pre.tif"},
        {"url": "{user}/in/pre.tif"},
        {"url": "file:///etc/passwd"},
        {"url": "/vsicurl/{out}/in/pre.tif"},
        {"url": "s3://bucket/pre.tif"},
        {"url": "{out}/in/redirect.tif"},
        {"stac": "{out}/in/climbing.json"},
        {"stac": "{out}/in/leading.json"},
        [{"url": "{out}/in/pre.tif"}, {"url": "{out}/out/pre.tif"}],
    ],
)
def test_no_reference_leads_out_of_the_stores(client: AppClient, store: RangeStore, reference: Any) -> None:
    with range_store() as other:
        other.files = store.files
        items = {"climbing": "../out/pre.tif", "leading": f"{other.address}/in/pre.tif"}
        for name, href in items.items():
            assets = {"pre": {"href": href}}
            store.files[f"/in/{name}.json"] = json.dumps({"stac_version": "1.0.0", "assets": assets}).encode()
        store.ill["/in/redirect.tif"] = f"{other.address}/in/pre.tif"
        user = store.address.replace("//", "//user:word@")
        text = json.dumps(reference).replace("{out}", store.address).replace("{user}", user)
        answer = asked(client, json.loads(text), pair(store)[1])
        assert (answer.status_code, answer.json()["code"]) == (422, "input-forbidden"), answer.text
        assert answer.json()["errors"][0]["pointer"] == "/pre"
        assert other.asked == []
    assert not any("out" in path for path in store.asked)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("whole", "no ranges"),
        ("short", "broke off"),
        ("long", "other bytes than it says"),
        ("shifted", "other bytes than it was asked for"),
        ("grown", "changed"),
        ("changing", "changed"),
        ("gzip", "compresses"),
        ("stall", "too long"),
        ("drip", "too long"),
        ("/in/pre.tif", "in circles"),
        ("missing", "does not have"),
    ],
)
def test_what_a_store_does_wrong_is_told(
    client: AppClient, store: RangeStore, wrong: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong in ("stall", "drip"):
        monkeypatch.setattr(ranges, "_SECONDS", 0.5)
        monkeypatch.setattr(ranges, "_BYTES_PER_SECOND", 1 << 30)
    store.ill["/in/pre.tif"] = wrong
    if wrong == "missing":
        del store.files["/in/pre.tif"]
    answer = asked(client, *pair(store), bbox=box(950, 950, 1150, 1150))
    assert (answer.status_code, answer.json()["code"]) == (502, "input-unreachable"), answer.text
    assert said in answer.json()["detail"]
    assert client.sample("maskgate_inflight_bytes") == 0


@pytest.mark.parametrize("wrong", ["stall", "stall later"])
def test_who_waits_for_a_store_keeps_nobody_waiting(
    client: AppClient, store: RangeStore, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(ranges, "_SECONDS", 5.0)
    store.ill["/in/pre.tif"] = wrong
    answers: list[int] = []
    calls = [threading.Thread(target=lambda: answers.append(asked(client, *pair(store)).status_code)) for _ in range(6)]
    for call in calls:
        call.start()
    online = client.post("/v1/waste", files={"image": encode(noise(64, 64))}, headers={"Maskgate-Deadline": "4"})
    assert (online.status_code, answers) == (200, [])
    store.ended.set()
    for call in calls:
        call.join()
    assert answers == [502] * 6


def test_what_is_read_counts_as_a_body_does(start: Callable[..., AppClient], store: RangeStore) -> None:
    limited = start(jobs={"stores": [f"{store.address}/in/"]}, limits={"body_bytes": 2_500_000})
    answer = asked(limited, *pair(store))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (413, "body-too-large", 2_500_000)
    assert store.sent <= 2_500_000
    assert asked(limited, *pair(store), bbox=box(950, 950, 1150, 1150), align="off").status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"url": 1}',
        '{"url": "a", "stac": "b"}',
        '{"url": "a", "asset": "b"}',
        "[" * 5000,
        '{"a":' * 5000,
    ],
)
def test_what_is_no_reference_is_told_how_one_looks(client: AppClient, store: RangeStore, text: str) -> None:
    answer = asked(client, text.encode(), scene())
    assert (answer.status_code, answer.json()["code"]) == (422, "reference-invalid"), answer.text
    assert answer.json()["errors"][0]["pointer"] == "/pre"


@pytest.mark.parametrize(
    ("bbox", "said"),
    [
        ("", "is west,south,east,north in degrees"),
        ("1,2,3", "is west,south,east,north in degrees"),
        ("10,50,10,51", "is west,south,east,north in degrees"),
        ("10,51,11,50", "is west,south,east,north in degrees"),
        ("nan,0,1,1", "is west,south,east,north in degrees"),
        ("0,0,1e999,1", "is west,south,east,north in degrees"),
        ("-181,0,1,1", "is west,south,east,north in degrees"),
        ("-94.49,37.0,-94.51,37.1", "west lies east of its east"),
        ("10,50,11,51", "Nothing of the pre image lies in the box"),
        ("85.5,36.9,85.6,37.2", "Nothing of the pre image lies in the box"),
    ],
)
@pytest.mark.parametrize("sent", [False, True])
def test_a_box_lies_on_the_image(client: AppClient, store: RangeStore, bbox: str, said: str, sent: bool) -> None:
    answer = asked(client, *((scene(), scene(1)) if sent else pair(store)), bbox=bbox)
    assert (answer.status_code, answer.json()["code"]) == (422, "parameter-invalid"), answer.text
    assert said in answer.json()["detail"]
    assert answer.json()["errors"][0]["pointer"] == "/bbox"


def test_pictures_lie_in_no_box(client: AppClient) -> None:
    picture = encode(noise(96, 96))
    for bbox, code in (("", "parameter-invalid"), ("10,50,11,51", "geography-missing")):
        answer = asked(client, picture, picture, bbox=bbox)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_keys_open_stores_by_the_scope_of_jobs(start: Callable[..., AppClient], store: RangeStore) -> None:
    keys = {name: new_key() for name in ("with", "without")}
    digests = {name: digest_of(key) for name, key in keys.items()}
    auth = {
        "with": {"digest": [digests["with"]], "scopes": ["damage", "jobs"]},
        "without": {"digest": [digests["without"]], "scopes": ["damage"]},
    }
    guarded = start(jobs={"stores": [f"{store.address}/in/"]}, auth={"keys": auth})
    files = {name: json.dumps(one).encode() for name, one in zip(("pre", "post"), pair(store), strict=True)}
    part = {"bbox": box(950, 950, 1150, 1150), "align": "off"}
    statuses = {
        name: guarded.post("/v1/damage", files=files, params=part, headers={"X-API-Key": key}).status_code
        for name, key in keys.items()
    }
    assert statuses == {"with": 200, "without": 403}


def test_jobs_take_references_and_compute_them_anew(
    start: Callable[..., AppClient], store: RangeStore, tmp_path: Path
) -> None:
    keeper = start(jobs={"folder": tmp_path, "stores": [f"{store.address}/in/"]})
    pre, post = pair(store)
    parameters = {"bbox": box(950, 950, 1150, 1150), "align": "off"}
    given = {"pre": {"reference": pre}, "post": {"reference": [post]}}
    body = {"task": "damage", "accept": "image/png", "parameters": parameters, "items": [{"parts": given}]}
    results = []
    for content in (scene(1), write(np.full((SIDE, SIDE, 3), 7, np.uint8) + noise(SIDE, SIDE) // 16, PLACE)):
        store.files["/in/post.tif"] = content
        job = ended(keeper, keeper.post("/v1/jobs", json=body))
        assert job["items"][0]["state"] == "done", job
        results.append(keeper.get(job["items"][0]["result"]["url"]).content)
        online = asked(keeper, pre, post, **parameters)
        assert online.status_code == 200
    assert results[0] != results[1], "the file is another, though its address is the same"
    files = {name: json.dumps(one).encode() for name, one in zip(("pre", "post"), (pre, post), strict=True)}
    left = keeper.post("/v1/damage", files=files, params=parameters, headers={"Prefer": "respond-async"})
    assert keeper.get(ended(keeper, left)["items"][0]["result"]["url"]).content == results[1]
    refused = {
        "forbidden": {"task": "damage", "items": [{"parts": {**given, "post": {"reference": {"url": "s3://a/b"}}}}]},
        "unknown": {"task": "waste", "items": [{"parts": {"image": {"reference": pre}}}]},
    }
    answers = {name: keeper.post("/v1/jobs", json=one).json() for name, one in refused.items()}
    assert (answers["forbidden"]["code"], answers["unknown"]["code"]) == ("input-forbidden", "parameter-invalid")
    assert answers["forbidden"]["errors"][0]["pointer"] == "/items/0/parts/post/reference"


def test_s3_is_asked_by_signed_addresses_and_leads_nowhere(
    start: Callable[..., AppClient], store: RangeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"ENDPOINT_URL": f"{store.address}/s3", "ALLOW_HTTP": "true", "REGION": "us-east-1"}
    for name, value in (settings | {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "word"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    store.files |= {"/s3/bucket/a/pre.tif": scene(), "/s3/bucket/a/post.tif": scene(1)}
    client = start(jobs={"stores": ["s3://bucket/a/"]})
    pre, post = ({"url": f"s3://bucket/a/{name}.tif"} for name in ("pre", "post"))
    part = {"bbox": box(950, 950, 1150, 1150), "align": "off"}
    answer = asked(client, pre, post, **part)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["regions"]) == 2
    store.ill["/s3/bucket/a/pre.tif"] = f"{store.address}/out/pre.tif"
    led = asked(client, pre, post, **part)
    assert (led.status_code, led.json()["code"]) == (422, "input-forbidden")
    assert not any(path.startswith("/out") for path in store.asked)


STEP = 5e-6
NORTH = grid(600, 600, "EPSG:4326", Affine(STEP, 0, -94.5, 0, -STEP, 37.08))
"""Where degrees run along rows and columns, so that a box is of so many pixels."""


def square(width: int, height: int) -> str:
    """Return the box of so many pixels of `NORTH`."""
    (west, north), (east, south) = NORTH.to_lon_lat([(200, 200), (200 + width, 200 + height)]).tolist()
    return f"{west:.9f},{south:.9f},{east:.9f},{north:.9f}"


def test_a_box_bounds_what_is_read_and_not_the_file(start: Callable[..., AppClient], store: RangeStore) -> None:
    most = 200 * 200
    limited = start(jobs={"stores": [f"{store.address}/in/"]}, limits={"scene_pixels": most})
    ground = [noise(600, 600, seed=seed) // 8 + 1 for seed in (0, 1)]
    sent = tuple(write(pixels, NORTH, tiled=True, blockxsize=128, blockysize=128) for pixels in ground)
    store.files |= {"/in/pre.tif": sent[0], "/in/post.tif": sent[1]}
    for given in (sent, pair(store)):
        whole = asked(limited, *given)
        assert (whole.status_code, whole.json()["code"], whole.json()["limit"]) == (413, "image-too-large", most)
        for width, height in ((200, 199), (200, 200)):
            answer = asked(limited, *given, bbox=square(width, height), align="off")
            assert answer.status_code == 200, answer.text
            assert (answer.json()["width"], answer.json()["height"]) == (width, height)
        over = asked(limited, *given, bbox=square(200, 201), align="off")
        assert (over.status_code, over.json()["code"], over.json()["limit"]) == (413, "image-too-large", most)
        assert over.json()["errors"][0]["pointer"] == "/pre"
        assert "200×201" in over.json()["detail"]


def test_a_box_bounds_what_it_has_of_a_finer_image(start: Callable[..., AppClient]) -> None:
    limited = start(limits={"scene_pixels": 200 * 200})
    finer = GeoGrid(NORTH.crs, NORTH.affine @ Affine.scale(0.5), 1200, 1200)
    pre, post = write(noise(600, 600) // 8 + 1, NORTH), write(noise(1200, 1200) // 8 + 1, finer)
    answers = [asked(limited, pre, post, bbox=square(100, rows), align="off") for rows in (100, 101)]
    assert [answer.status_code for answer in answers] == [200, 413], [answer.text for answer in answers]
    assert answers[1].json()["errors"][0]["pointer"] == "/post"
    assert "What the box has of it is 200×202 pixels" in answers[1].json()["detail"]


def test_a_border_is_looked_for_beside_the_box_alone(client: AppClient, store: RangeStore) -> None:
    for name, seed in (("pre", 0), ("post", 1)):
        pixels = np.random.default_rng(seed).integers(1, 33, (SIDE, SIDE, 3), np.uint8)
        pixels[1000:1050, 1000:1080, 1] = 60
        pixels[:, :1016] = pixels[:40] = 0
        store.files[f"/in/{name}.tif"] = write(pixels, PLACE, tiled=True, blockxsize=128, blockysize=128)
    answer = asked(client, *pair(store), bbox=box(950, 950, 1150, 1150), align="off")
    assert answer.status_code == 200, answer.text
    whole = sum(len(store.files[f"/in/{name}.tif"]) for name in ("pre", "post"))
    assert store.sent < 0.6 * whole, f"{store.sent} of {whole} bytes"
    (region,) = answer.json()["regions"]
    assert region["area"] == 50 * 64, "what lies in the border is not classified"
    assert "black border around the image is not classified" in " ".join(answer.json()["notices"])


def test_what_a_box_refuses_is_not_gone_over_for_a_border(
    start: Callable[..., AppClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = start(limits={"scene_pixels": 200 * 200})
    bordered = noise(600, 600) // 8 + 1
    bordered[:9] = 0
    lies, lies_nowhere = write(bordered, NORTH), write(bordered)
    read: list[int] = []
    original = black_border._bands

    def watched(*arguments: Any) -> Iterator[tuple[int, int, int, int]]:
        for window in original(*arguments):
            read.append(window[2] * window[3])
            yield window

    monkeypatch.setattr(black_border, "_bands", watched)
    too_large = asked(limited, lies, lies, bbox="-180,-90,180,90")
    assert (too_large.status_code, too_large.json()["errors"][0]["pointer"]) == (413, "/pre")
    assert read == []
    apart = asked(limited, lies, lies_nowhere, bbox=square(100, 100))
    assert (apart.status_code, apart.json()["code"]) == (422, "pair-mismatch")
    assert sum(read) == 100 * 600 + 500 * 100, "the rows and columns of pre alone"
