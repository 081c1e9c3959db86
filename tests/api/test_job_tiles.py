"""The maps of a job as tiles of a web map, held against another library's tiles and the label maps themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import morecantile
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from gateway.access.keys import digest_of, new_key
from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.jobs import ended, upload
from tests.support.trivial import PALETTE, label_table

SIDE = 700
WEST = grid(SIDE, SIDE)
EAST = grid(SIDE, SIDE, affine=WEST.affine @ Affine.translation(SIDE, 0))
TILES = morecantile.tms.get("WebMercatorQuad")
LABELS = label_table(5)


def scene(seed: int) -> NDArray[np.uint8]:
    """Return ground of class 0 with four buildings, the first column of which is of no data."""
    pixels = np.random.default_rng(seed).integers(1, 33, (SIDE, SIDE, 3), np.uint8)
    for number, (y, x) in enumerate([(100, 100), (100, 450), (400, 100), (400, 450)], 1):
        pixels[y : y + 200, x : x + 150, 1] = 51 * number + 20
    pixels[:, :60] = 0
    return pixels


PAIRS = [(scene(1), WEST), (scene(2), EAST)]


def left(client: AppClient, headers: Any = None, accept: str = "image/tiff") -> dict[str, Any]:
    """Return a job about both pairs, once it has ended."""
    items = []
    for pixels, place in PAIRS:
        one = upload(client, write(pixels, place, nodata=0), **(headers or {}))
        items.append({"parts": {"pre": {"upload": one}, "post": {"upload": one}}})
    job = {"task": "damage", "accept": accept, "parameters": {"align": "off"}, "items": items}
    return ended(client, client.post("/v1/jobs", json=job, headers=headers), headers=headers)


def picture(content: bytes) -> NDArray[np.uint8]:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(np.asarray(decoded), cv2.COLOR_BGRA2RGBA), np.uint8)


def expected(tile: morecantile.Tile) -> NDArray[np.uint8]:
    """Return a tile by the centres of its pixels, each looked up in the pair that it lies in."""
    box = TILES.xy_bounds(tile)
    x = np.linspace(box.left, box.right, 257)[:-1] + (box.right - box.left) / 512
    y = np.linspace(box.top, box.bottom, 257)[:-1] - (box.top - box.bottom) / 512
    east, north = np.meshgrid(x, y)
    longitudes = np.degrees(east / 6_378_137)
    latitudes = np.degrees(2 * np.arctan(np.exp(north / 6_378_137)) - np.pi / 2)
    found = np.zeros((256, 256, 4), np.uint8)
    for pixels, place in reversed(PAIRS):
        at = np.floor(place.from_lon_lat(np.stack([longitudes.ravel(), latitudes.ravel()], 1))).astype(int)
        inside = ((at >= 0) & (at < SIDE)).all(axis=1)
        columns, rows = at[inside].T
        observed = pixels[rows, columns].any(axis=1)
        labels = LABELS[pixels[rows, columns, 1]]
        colours = np.array([(*colour, 255) for colour in PALETTE], np.uint8)[labels]
        colours[labels == 0] = 0
        flat = found.reshape(-1, 4)
        where = np.flatnonzero(inside)[observed]
        flat[where] = colours[observed]
    return found


@pytest.fixture
def keeper(start: Callable[..., AppClient], tmp_path: Path) -> AppClient:
    return start(jobs={"folder": tmp_path})


def test_tiles_show_the_maps_where_they_lie(keeper: AppClient) -> None:
    job = left(keeper)
    assert job["done"] == 2, job
    layer = keeper.get(f"/v1/jobs/{job['id']}/tiles")
    assert (layer.status_code, layer.headers["Cache-Control"]) == (200, "private, max-age=86400, immutable")
    said = layer.json()
    west, south, east, north = said["bounds"]
    corners = np.concatenate([place.to_lon_lat([(0, 0), (SIDE, SIDE)]) for _, place in PAIRS])
    assert (west, south) <= tuple(corners.min(axis=0))
    assert (east, north) >= tuple(corners.max(axis=0))
    assert TILES.matrix(said["maxzoom"]).cellSize * np.cos(np.radians(north)) < 0.5, "no larger than a pixel"
    template = said["tiles"][0]
    address = {
        tile: template.format(z=tile.z, x=tile.x, y=tile.y)
        for zoom in range(said["minzoom"], said["maxzoom"] + 1)
        for tile in TILES.tiles(west, south, east, north, [zoom])
    }
    coarse = said["maxzoom"] - 1
    for tile in [*address][::6]:
        answer = keeper.get(address[tile])
        if answer.status_code == 404:
            assert not expected(tile).any()
            continue
        assert answer.headers["Content-Type"] == "image/png"
        if tile.z >= coarse:
            same = (picture(answer.content) == expected(tile)).all(axis=2).mean()
            assert same > 0.985, (tile, same)
    x, y, zoom = said["center"]
    least = picture(keeper.get(template.format(**TILES.tile(x, y, zoom)._asdict())).content)
    assert {(*colour, 255) for colour in PALETTE[1:]} <= {tuple(pixel) for pixel in least.reshape(-1, 4).tolist()}


def test_a_tile_never_changes_and_one_beyond_the_maps_is_none(keeper: AppClient) -> None:
    job = left(keeper)
    said = keeper.get(f"/v1/jobs/{job['id']}/tiles").json()
    tile = TILES.tile(said["center"][0], said["center"][1], said["maxzoom"])
    address = said["tiles"][0].format(z=tile.z, x=tile.x, y=tile.y)
    answer = keeper.get(address)
    again = keeper.get(address, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    base = f"/v1/jobs/{job['id']}/tiles"
    for beyond in (f"{base}/{tile.z}/{tile.x + 40}/{tile.y}", f"{base}/1/2/0", f"{base}/{tile.z}/0/0"):
        none = keeper.get(beyond)
        assert (none.status_code, none.json()["code"]) == (404, "result-not-found"), beyond
    assert keeper.get(f"{base}/25/0/0").status_code == 422
    of_one = [keeper.get(f"{base}?item={number}").json() for number in (0, 1)]
    assert of_one[0]["bounds"][2] < of_one[1]["bounds"][2]
    assert keeper.get(f"{base}?item=2").status_code == 404
    far_east = TILES.tile(of_one[1]["bounds"][2] - 1e-4, said["center"][1], said["maxzoom"])
    place = f"{base}/{far_east.z}/{far_east.x}/{far_east.y}"
    assert [keeper.get(f"{place}?item={number}").status_code for number in (0, 1)] == [404, 200]


def test_jobs_without_maps_have_no_tiles(keeper: AppClient) -> None:
    job = left(keeper, accept="image/png")
    for path in ("tiles", "tiles/0/0/0"):
        answer = keeper.get(f"/v1/jobs/{job['id']}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "result-not-found")


def test_tiles_are_their_tenants_alone(start: Callable[..., AppClient], tmp_path: Path) -> None:
    keys = {name: new_key() for name in ("ours", "theirs")}
    auth = {name: {"digest": [digest_of(key)]} for name, key in keys.items()}
    keeper = start(jobs={"folder": tmp_path}, auth={"keys": auth})
    ours, theirs = ({"X-API-Key": key} for key in keys.values())
    job = left(keeper, headers=ours)
    path = f"/v1/jobs/{job['id']}/tiles"
    assert [keeper.get(path, headers=one).status_code for one in (ours, theirs, {})] == [200, 404, 401]
    assert [keeper.get(f"{path}/0/0/0", headers=one).status_code for one in (ours, theirs)] == [200, 404]
