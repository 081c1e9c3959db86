"""`POST /v1/damage` with GeoTIFFs, and what pictures can ask for beside their map."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.io import MemoryFile
from shapely.geometry import shape

from gateway.media.gdal import contained
from gateway.media.geo.georeference import GeoGrid
from tests.support.app_client import AppClient
from tests.support.geotiffs import gdal, grid, write
from tests.support.pictures import decode, encode, noise
from tests.support.towns import in_degrees, place, seen_on, town
from tests.support.trivial import label_table

LABELS = label_table(5)
GEOJSON, TIFF, ZIP, JSON = "application/geo+json", "image/tiff", "application/zip", "application/json"
SIDE = 400


def parts(pre: bytes, post: bytes, **more: bytes) -> dict[str, tuple[str, bytes]]:
    return {name: (name, data) for name, data in {"pre": pre, "post": post, **more}.items()}


def scene() -> np.ndarray:
    """Return ground of class 0, never of one colour, with two buildings on it."""
    pixels = noise(SIDE, SIDE) // 8 + 1
    pixels[90:170, 60:120, 1] = 60
    pixels[250:300, 200:330, 1] = 250
    return pixels


def pair(**profile: Any) -> dict[str, tuple[str, bytes]]:
    data = write(scene(), grid(SIDE, SIDE), **profile)
    return parts(data, data)


def in_pixels(feature: Any, where: GeoGrid) -> Any:
    """Return the outline of a feature in pixels of a grid."""
    return shapely.transform(shape(feature["geometry"]), where.from_lon_lat)


def ask(client: AppClient, files: Any, accept: str, **params: Any) -> Any:
    answer = client.post("/v1/damage", files=files, headers={"Accept": accept}, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == accept
    return answer.json() if accept in (JSON, GEOJSON) else answer.content


def test_the_report_says_where_and_how_large_and_how_well_aligned(client: AppClient) -> None:
    files = pair()
    report = ask(client, files, JSON)
    assert (report["width"], report["height"], report["model"]) == (SIDE, SIDE, "trivial")
    assert report["geography"]["crs"] == "EPSG:32615"
    assert report["geography"]["transform"] == [0.5, 0, 366_642.5, 0, -0.5, 4_104_511]
    assert report["geography"]["footprint"]["type"] == "Polygon"
    assert report["alignment"] | {"shift": None} == {
        "asked": "auto",
        "overlap": 1,
        "shift": None,
        "confidence": 1,
        "corrected": False,
    }
    assert (report["observed_share"], report["featureless_share"], report["districts"]) == (1, 0, None)
    assert [c["pixels"] for c in report["classes"]] == [SIDE**2 - 4800 - 6500, 4800, 0, 0, 6500]
    assert [c["area_m2"] for c in report["classes"]] == pytest.approx([37175, 1200, 0, 0, 1625], rel=1e-3)
    assert [c["buildings"] for c in report["classes"]] == [0, 1, 0, 0, 1]
    first, second = report["regions"]
    assert (first["class"], first["area"], first["box"]) == (1, 4800, [60, 90, 120, 170])
    assert first["area_m2"] == pytest.approx(1200, rel=1e-3)
    assert second["confidence"] > 0.7
    assert report["notices"] == []
    digests = b"".join(hashlib.sha256(files[name][1]).digest() for name in ("pre", "post"))
    assert report["provenance"]["input_digest"] == f"sha256:{hashlib.sha256(digests).hexdigest()}"


def test_geojson_has_one_feature_per_building_where_it_stands(client: AppClient) -> None:
    collection = ask(client, pair(), GEOJSON)
    assert collection["type"] == "FeatureCollection"
    assert "crs" not in collection, "RFC 7946: WGS 84 and nothing else"
    assert [c["buildings"] for c in collection["classes"]] == [0, 1, 0, 0, 1]
    first, second = collection["features"]
    assert first["properties"]["class"] == "band-1"
    assert first["properties"]["area_m2"] == pytest.approx(1200, rel=1e-3)
    np.testing.assert_allclose(in_pixels(first, grid(SIDE, SIDE)).bounds, (60, 90, 120, 170), atol=0.05)
    np.testing.assert_allclose(in_pixels(second, grid(SIDE, SIDE)).bounds, (200, 250, 330, 300), atol=0.05)


def test_the_map_is_a_geotiff_on_the_pre_grid(client: AppClient) -> None:
    content = ask(client, pair(), TIFF)
    with contained(), MemoryFile(content) as memory, memory.open() as file:
        assert (file.crs.to_string(), file.transform) == ("EPSG:32615", grid(SIDE, SIDE).affine)
        np.testing.assert_array_equal(file.read(1), LABELS[scene()[..., 1]])
        assert file.nodata == 255
        assert file.tags()["MODEL"] == "trivial"


def test_gdal_opens_every_file(client: AppClient, tmp_path: Path) -> None:
    files = pair()
    for name, accept in (("map.tif", TIFF), ("buildings.geojson", GEOJSON), ("map.png", "image/png")):
        content = ask(client, files, accept)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    assert "LAYOUT=COG" in gdal("gdalinfo", tmp_path / "map.tif")
    assert "Feature Count: 2" in gdal("ogrinfo", "-so", "-al", tmp_path / "buildings.geojson")
    assert "Size is 400, 400" in gdal("gdalinfo", tmp_path / "map.png")
    with zipfile.ZipFile(io.BytesIO(ask(client, files, ZIP))) as archive:
        assert len(archive.namelist()) == 2
        for name in archive.namelist():
            archive.extract(name, tmp_path)
            assert "Size is 400, 400" in gdal("gdalinfo", tmp_path / name)


def test_png_of_a_scene_is_its_label_map(client: AppClient) -> None:
    labels = decode(ask(client, pair(), "image/png"))
    np.testing.assert_array_equal(labels, LABELS[scene()[..., 1]])


def test_one_request_can_bring_everything(client: AppClient) -> None:
    files = pair()
    wanted = ["label_map", "overlay", "quicklook", "geojson", "geotiff", "xbd", "xview2"]
    report = ask(client, files, JSON, include=wanted)
    assert set(report["pictures"]) == {"label_map", "overlay", "quicklook"}
    assert set(report["files"]) == {"geojson", "geotiff", "xbd", "xview2"}
    assert json.loads(b64decode(report["files"]["geojson"])) == ask(client, files, GEOJSON)
    assert b64decode(report["files"]["xview2"]) == ask(client, files, ZIP)
    assert b64decode(report["pictures"]["overlay"]) == client.post("/v1/damage?overlay=true", files=files).content
    np.testing.assert_array_equal(
        decode(b64decode(report["pictures"]["quicklook"])), decode(b64decode(report["pictures"]["overlay"]))
    )
    xbd = json.loads(b64decode(report["files"]["xbd"]))
    assert len(xbd["features"]["xy"]) == len(xbd["features"]["lng_lat"]) == 2
    assert shapely.from_wkt(xbd["features"]["xy"][0]["wkt"]).bounds == (60, 90, 120, 170)


def test_post_on_another_grid_is_answered_on_the_pre_grid(client: AppClient) -> None:
    where = in_degrees()
    files = parts(write(town().pre, place()), write(seen_on(town().post, where), where))
    report = ask(client, files, JSON, include=["geotiff"])
    assert 0.5 < report["alignment"]["overlap"] < 1
    assert report["observed_share"] == pytest.approx(report["alignment"]["overlap"], abs=0.02)
    with contained(), MemoryFile(b64decode(report["files"]["geotiff"])) as memory, memory.open() as file:
        labels = file.read(1)
    assert np.count_nonzero(labels != 255) == sum(c["pixels"] for c in report["classes"])
    expected = LABELS[town().post[..., 1]]
    seen = labels != 255
    assert (labels == expected)[seen].mean() > 0.8


def test_a_shift_is_corrected_and_told_of(client: AppClient) -> None:
    post = write(seen_on(town().pre, place(), shift=(6, -4)), place())
    files = parts(write(town().pre, place()), post)
    answer = client.post("/v1/damage", files=files)
    assert "post image moved by (-6.0" in answer.headers["Maskgate-Notices"]
    report = ask(client, files, JSON)
    assert report["alignment"]["shift"] == pytest.approx([6, -4], abs=0.1)
    assert report["alignment"]["corrected"]
    left = ask(client, files, JSON, align="off")
    assert left["alignment"] | {"overlap": 1} == {
        "asked": "off",
        "overlap": 1,
        "shift": None,
        "confidence": None,
        "corrected": False,
    }


def test_nodata_is_not_classified(client: AppClient) -> None:
    post = scene()
    post[:, :100] = 7
    files = parts(write(scene(), grid(SIDE, SIDE)), write(post, grid(SIDE, SIDE), nodata=7))
    report = ask(client, files, JSON, include=["geotiff"])
    with contained(), MemoryFile(b64decode(report["files"]["geotiff"])) as memory, memory.open() as file:
        assert (file.read(1)[:, :100] == 255).all()
    assert report["observed_share"] == pytest.approx(0.75, abs=0.01)
    assert [building["box"][0] >= 100 for building in report["regions"]] == [True, True]


@pytest.mark.parametrize("accept", ["image/png", ZIP])
def test_pngs_say_how_much_they_cannot_show(client: AppClient, accept: str) -> None:
    post = scene()
    post[:, :100] = 7
    whole, part = write(scene(), grid(SIDE, SIDE)), write(post, grid(SIDE, SIDE), nodata=7)
    for second, said in ((part, True), (whole, False)):
        answer = client.post("/v1/damage", files=parts(whole, second), headers={"Accept": accept})
        assert answer.status_code == 200, answer.text
        notices = answer.headers.get("Maskgate-Notices", "")
        assert ("25.0% of the scene not observed or not classified, which is background" in notices) is said


def test_clouds_are_said(client: AppClient) -> None:
    post = scene()
    post[128:256, 128:256] = 245
    files = parts(write(scene(), grid(SIDE, SIDE)), write(post, grid(SIDE, SIDE)))
    report = ask(client, files, JSON)
    assert report["featureless_share"] == pytest.approx(128**2 / SIDE**2, abs=1e-6)
    assert "bright and even as clouds" in " ".join(report["notices"])


def test_districts_count_buildings(client: AppClient) -> None:
    def district(name: str, x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
        ring = grid(SIDE, SIDE).to_lon_lat([(x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)]).tolist()
        geometry = {"type": "Polygon", "coordinates": [ring]}
        return {"type": "Feature", "properties": {"name": name}, "geometry": geometry}

    layer = {"type": "FeatureCollection", "features": [district("west", 0, 0, 150, 400), district("sea", 0, 0, 9, 9)]}
    data = write(scene(), grid(SIDE, SIDE))
    files = parts(data, data, districts=json.dumps(layer).encode())
    for counted in (ask(client, files, JSON)["districts"], ask(client, files, GEOJSON)["districts"]):
        assert [one["name"] for one in counted] == ["west", "sea", None]
        assert [[c["buildings"] for c in one["classes"]] for one in counted] == [[1, 0, 0, 0], [0] * 4, [0, 0, 0, 1]]
        assert counted[0]["classes"][0]["area_m2"] == pytest.approx(1200, rel=1e-3)


def test_tiff_without_geography_is_a_picture(client: AppClient) -> None:
    post = noise(130, 97, seed=1)
    files = parts(encode(noise(130, 97)), write(post))
    np.testing.assert_array_equal(decode(ask(client, files, "image/png")), LABELS[post[..., 1]])
    report = ask(client, files, JSON)
    assert (report["geography"], report["alignment"]["asked"]) == (None, "off")
    assert {c["area_m2"] for c in report["classes"]} == {None}


def test_pictures_are_aligned_when_asked(client: AppClient) -> None:
    moved = np.roll(town().pre, (3, -5), axis=(0, 1))
    report = ask(client, parts(encode(town().pre), encode(moved)), JSON, align="require")
    assert report["alignment"]["shift"] == pytest.approx([-5, 3], abs=0.1)
    assert report["alignment"]["corrected"]


def test_pictures_bring_the_files_of_the_contests(client: AppClient) -> None:
    data = encode(scene())
    plain = client.post("/v1/damage", files=parts(data, data)).content
    with zipfile.ZipFile(io.BytesIO(ask(client, parts(data, data), ZIP))) as archive:
        names = sorted(archive.namelist())
        assert [name.split("_")[1] for name in names] == ["damage", "localization"]
        np.testing.assert_array_equal(decode(archive.read(names[0])), decode(plain))
    report = ask(client, parts(data, data), JSON, include=["xbd"])
    assert json.loads(b64decode(report["files"]["xbd"]))["features"]["lng_lat"] == []


def test_pictures_are_answered_as_ever_unless_more_is_asked_for(client: AppClient) -> None:
    data = encode(scene())
    ever = client.post("/v1/damage", files=parts(data, data), headers={"Accept": JSON}).json()
    assert list(ever) == ["model", "width", "height", "classes", "regions", "notices", "provenance", "pictures"]
    more = ask(client, parts(data, data), JSON, align="off")
    assert more["alignment"]["shift"] is None
    assert [region["polygon"] for region in more["regions"]] == [region["polygon"] for region in ever["regions"]]
    assert [c["pixels"] for c in more["classes"]] == [c["pixels"] for c in ever["classes"]]


def test_a_large_scene_has_no_picture_of_its_size(start: Any) -> None:
    client = start(limits={"image_pixels": 300 * 300})
    answer = client.post("/v1/damage", files=pair())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == JSON, "what fits, in the order of preference"
    report = ask(client, pair(), JSON, include=["quicklook", "geotiff"])
    assert decode(b64decode(report["pictures"]["quicklook"])).shape == (SIDE, SIDE, 3)
    refused = client.post("/v1/damage", files=pair(), headers={"Accept": "image/png"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")
    assert "90,000" in refused.json()["detail"]
    refused = client.post("/v1/damage?include=overlay", files=pair(), headers={"Accept": JSON})
    assert (refused.status_code, refused.json()["code"]) == (422, "parameter-invalid")


def test_buildings_of_a_rotated_scene_stand_where_they_are(client: AppClient) -> None:
    rotated = Affine.translation(366_642.5, 4_104_511) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5)
    where = grid(SIDE, SIDE, affine=rotated)
    data = write(scene(), where)
    collection = ask(client, parts(data, data), GEOJSON)
    np.testing.assert_allclose(in_pixels(collection["features"][0], where).bounds, (60, 90, 120, 170), atol=0.05)


def test_bands_nodata_and_crs_are_what_the_caller_says(client: AppClient) -> None:
    where = grid(SIDE, SIDE)
    five = np.dstack([scene(), scene()[..., :2] // 2 + 9])
    five[:100] = 200
    files = parts(
        write(five, GeoGrid(where.crs, where.affine, SIDE, SIDE), photometric="minisblack"),
        write(five[..., [2, 1, 0]], transform=where.affine),
    )
    params = {"bands": "pre:1,2,3", "nodata": "200", "crs": "post:EPSG:32615", "align": "off"}
    answer = client.post("/v1/damage", files=files, headers={"Accept": TIFF}, params=params)
    assert answer.status_code == 200, answer.text
    with contained(), MemoryFile(answer.content) as memory, memory.open() as file:
        labels = file.read(1)
    assert (labels[:100] == 255).all()
    np.testing.assert_array_equal(labels[100:], LABELS[scene()[100:, :, 1]])


@pytest.mark.parametrize(
    ("name", "value"),
    [("bands", "1,2"), ("bands", "mid:1,2,3"), ("bands", "9"), ("nodata", "much"), ("crs", "here"), ("crs", "EPSG:1")],
)
def test_what_the_caller_says_and_means_nothing_is_refused(client: AppClient, name: str, value: str) -> None:
    answer = client.post("/v1/damage", files=pair(), params={name: value})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "parameter-invalid"


def test_pictures_have_no_bands_to_be_told(client: AppClient) -> None:
    picture = encode(scene())
    answer = client.post("/v1/damage", files=parts(picture, picture), params={"nodata": "0"})
    assert (answer.status_code, answer.json()["code"]) == (422, "parameter-invalid")


FORMS = {GEOJSON: "geojson", TIFF: "geotiff", JSON: "report", ZIP: "xview2", "image/png": "label map"}


@pytest.mark.parametrize("accept", FORMS)
@pytest.mark.parametrize("rows", [0, 3])
def test_a_post_image_of_nothing_is_no_answer_in_any_form(client: AppClient, accept: str, rows: int) -> None:
    post = scene()
    post[rows:] = 0
    where = grid(SIDE, SIDE)
    files = parts(write(scene(), where), write(post, where, nodata=0))
    answer = client.post("/v1/damage", files=files, headers={"Accept": accept}, params={"align": "off"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "pair-unobserved"), problem
    assert f"{rows / SIDE:.2%} is seen in both" in problem["detail"]


@pytest.mark.parametrize("accept", FORMS)
def test_every_form_tells_how_much_was_observed(client: AppClient, accept: str) -> None:
    post = scene()
    post[200:] = 0
    where = grid(SIDE, SIDE)
    files = parts(write(scene(), where), write(post, where, nodata=0))
    answer = client.post("/v1/damage", files=files, headers={"Accept": accept}, params={"align": "off"})
    assert answer.status_code == 200, answer.text
    said = "50.0% of the scene not observed or not classified"
    if accept in (JSON, GEOJSON):
        assert answer.json()["observed_share"] == 0.5
        assert any(said in notice for notice in answer.json()["notices"])
    else:
        assert said in answer.headers["maskgate-notices"]
    if accept == TIFF:
        with contained(), MemoryFile(answer.content) as memory, memory.open() as file:
            assert file.tags()["OBSERVED_SHARE"] == "0.5"


def test_districts_that_nobody_saw_are_not_assessed(client: AppClient) -> None:
    where = grid(SIDE, SIDE)
    post = scene()
    post[200:] = 0

    def district(name: str, y0: int, y1: int) -> dict[str, Any]:
        corners = where.to_lon_lat([(0, y0), (0, y1), (SIDE, y1), (SIDE, y0), (0, y0)]).tolist()
        polygon = {"type": "Polygon", "coordinates": [corners]}
        return {"type": "Feature", "id": name, "properties": {"ADM2_EN": name.title()}, "geometry": polygon}

    layer = {"type": "FeatureCollection", "features": [district("north", 0, 200), district("south", 200, SIDE)]}
    files = parts(write(scene(), where), write(post, where, nodata=0), districts=json.dumps(layer).encode())
    report = ask(client, files, JSON, align="off")
    north, south, nowhere = report["districts"]
    assert (north["name"], north["observed_share"], north["not_assessed"]) == ("North", 1, False)
    assert (south["name"], south["observed_share"], south["not_assessed"]) == ("South", 0, True)
    assert (nowhere["observed_share"], nowhere["not_assessed"]) == (None, False)
    assert [region["district"] for region in report["regions"]] == ["north"]
    assert any("1 districts not assessed" in notice for notice in report["notices"])
    collection = ask(client, files, GEOJSON, align="off")
    assert [feature["properties"]["district"] for feature in collection["features"]] == ["north"]
    away = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    layer["features"] = [{"type": "Feature", "properties": {}, "geometry": away}]
    files = parts(write(scene(), where), write(scene(), where), districts=json.dumps(layer).encode())
    assert "no district meets the scene" in ask(client, files, JSON, align="off")["notices"]


def tiles(pixels: np.ndarray, where: GeoGrid, name: str, **profile: Any) -> list[tuple[str, tuple[str, bytes]]]:
    """Return an image as four parts of one name, which overlap."""
    down, across = (side // 2 for side in pixels.shape[:2])
    found = []
    for y, x in ((0, 0), (0, across - 20), (down - 20, 0), (down - 20, across - 20)):
        part = pixels[y : y + down + 20, x : x + across + 20]
        place_ = GeoGrid(where.crs, where.affine @ Affine.translation(x, y), part.shape[1], part.shape[0])
        found.append((name, (name, write(part, place_, **profile))))
    return found


def test_tiles_are_answered_as_the_image_that_they_are_of(client: AppClient) -> None:
    where = in_degrees()
    post = seen_on(town().post, where)
    whole = ask(client, parts(write(town().pre, place()), write(post, where)), JSON, include="geotiff", align="off")
    files = [*tiles(town().pre, place(), "pre"), *tiles(post, where, "post")]
    report = ask(client, files, JSON, include="geotiff", align="off")
    assert report["geography"] == whole["geography"]
    assert "pre image: 4 tiles put together" in report["notices"]
    with contained(), MemoryFile(b64decode(whole["files"]["geotiff"])) as memory, memory.open() as file:
        expected = file.read(1)
    with contained(), MemoryFile(b64decode(report["files"]["geotiff"])) as memory, memory.open() as file:
        assert (file.read(1) == expected).mean() > 0.99
    assert report["provenance"]["input_digest"] != whole["provenance"]["input_digest"]
    aligned_ = ask(client, files, JSON)
    assert aligned_["alignment"]["asked"] == "auto"


def test_tiles_that_are_none_are_refused(client: AppClient) -> None:
    where = grid(SIDE, SIDE)
    good, picture = write(scene(), where), encode(scene())
    for second, code, pointer in ((picture, "pair-mismatch", "/pre"), (write(scene()), "geography-missing", "/pre")):
        files = [("pre", ("a", good)), ("pre", ("b", second)), ("post", ("c", good))]
        answer = client.post("/v1/damage", files=files)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
    cut = [("pre", ("a", good)), ("pre", ("b", good[:2000])), ("post", ("c", good))]
    answer = client.post("/v1/damage", files=cut)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/pre/1"), answer.text
