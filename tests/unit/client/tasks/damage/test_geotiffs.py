"""Pairs of GeoTIFFs through the clients: what is sent, what is read, and what the command saves."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from maskgate_client import Alignment, District, DistrictClass, Progress, SceneReport
from maskgate_client.cli import main
from maskgate_client.tasks.damage.layers import write_layer

from tests.support.geotiffs import gdal

TIFF = b"II*\0 and so on"


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Return the paths of two files that begin like TIFF."""
    paths = [tmp_path / name for name in ("town pre.tif", "town post.tif")]
    for path in paths:
        path.write_bytes(TIFF + path.name.encode())
    return [str(path) for path in paths]


def test_a_report_says_what_the_gateway_said(ask: Any, gateway: Any) -> None:
    report: SceneReport = ask(
        "damage_scene",
        TIFF,
        TIFF,
        districts=b"{}",
        footprints=b"[]",
        model="m",
        version=3,
        include=["quicklook", "geotiff"],
    )
    assert report.crs == "EPSG:26915"
    assert report.alignment == Alignment("auto", 0.5, (1.2, -0.7), 0.67, True)
    assert report.districts == (
        District("n", "North", (DistrictClass(4, "destroyed", 1, 0.72),)),
        District(None, None, (DistrictClass(4, "destroyed", 0, 0.0),)),
    )
    assert report.footprints is not None
    known = report.footprints[0]
    assert (known.id, known.value, known.box, known.properties) == ("way/1", 4, (1, 1, 3, 2), {"building": "school"})
    assert (known.uncertain, known.disagreement) == (True, None)
    assert report.buildings[0].area_m2 == 0.72
    assert (report.buildings[0].district, report.buildings[0].disagreement) == ("n", 0.04)
    assert report.buildings[0].box == (1, 1, 3, 2)
    assert report.counts() == {"no-damage": 0, "destroyed": 1}
    assert (report.pictures, report.files) == ({"quicklook": b"quicklook"}, {"geotiff": b"geotiff"})
    assert "pictures" not in report.document
    assert "files" not in report.document
    (request,) = gateway.requests
    assert request.url.params.multi_items() == [
        ("align", "auto"),
        ("include", "quicklook"),
        ("include", "geotiff"),
        ("model", "m"),
        ("version", "3"),
    ]
    body = request.read()
    assert b'name="districts"; filename="districts"' in body
    assert b'name="footprints"; filename="footprints"' in body
    assert request.extensions["timeout"]["read"] > 4 * 3600


@pytest.mark.parametrize(
    ("form", "accept"),
    [
        ("geojson", "application/geo+json"),
        ("geotiff", "image/tiff"),
        ("xview2", "application/zip"),
        ("gpkg", "application/geopackage+sqlite3"),
        ("flatgeobuf", "application/vnd.flatgeobuf"),
        ("geoparquet", "application/vnd.apache.parquet"),
    ],
)
def test_a_file_is_asked_for_by_its_media_type(ask: Any, gateway: Any, form: str, accept: str) -> None:
    assert ask("damage_file", TIFF, TIFF, form, align="require", output_crs="source") == accept.encode()
    assert dict(gateway.requests[0].url.params) == {"align": "require", "output_crs": "source"}


def test_tiles_are_parts_of_one_name(ask: Any, gateway: Any) -> None:
    told: list[Progress] = []
    for progress in (None, told.append):
        ask("damage_scene", [TIFF, TIFF + b"2"], TIFF, progress=progress)
        body = gateway.requests[-1].read()
        assert [body.count(f'name="{name}"; filename="{name}"'.encode()) for name in ("pre", "post")] == [2, 1]
        assert TIFF + b"2" in body


@pytest.mark.parametrize("method", ["damage", "damage_report", "damage_overlay", "damage_scene"])
def test_a_series_has_its_dates(ask: Any, gateway: Any, method: str) -> None:
    ask(method, TIFF, [TIFF, TIFF + b"2"], post_dates=[date(2018, 10, 11), "2018-10-13"], model="bd-rnn-series")
    request = gateway.requests[-1]
    assert request.url.params.get_list("post_date") == ["2018-10-11", "2018-10-13"]
    assert request.read().count(b'name="post"; filename="post"') == 2


@pytest.mark.parametrize("method", ["damage", "damage_report", "damage_overlay", "damage_scene", "damage_file"])
def test_what_is_known_of_the_ground_is_sent_too(ask: Any, gateway: Any, method: str, tmp_path: Path) -> None:
    (tmp_path / "dem.tif").write_bytes(TIFF + b"dem")
    form = ["geotiff"] if method == "damage_file" else []
    answer = ask(method, TIFF, TIFF, *form, elevation=tmp_path / "dem.tif", landcover=TIFF + b"cover")
    body = gateway.requests[-1].read()
    for name, content in (("elevation", b"dem"), ("landcover", b"cover")):
        head, _, rest = body.partition(f'name="{name}"; filename="{name}"'.encode())
        assert head
        assert rest.partition(b"\r\n\r\n")[2].startswith(TIFF + content)
    assert b'name="surface"' not in body
    assert body.count(b"image/tiff") == 4
    if method == "damage_scene":
        assert answer.rasters == {"surface": 0.75}


def test_the_command_sends_rasters_of_two_images_alone(
    gateway: Any, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dem = tmp_path / "dem.tif"
    dem.write_bytes(TIFF + b"dem")
    out = tmp_path / "out"
    asked = ["damage", *pair, "--elevation", str(dem), "--surface", str(dem), "--out", str(out)]
    assert main(asked, transport=gateway.transport) == 0
    body = gateway.requests[-1].read()
    assert [body.count(f'; name="{name}"'.encode()) for name in ("elevation", "surface", "landcover")] == [1, 1, 0]
    assert main(["damage", str(tmp_path), "--elevation", str(dem)], transport=gateway.transport) == 2
    assert "not of a folder" in capsys.readouterr().err


def test_progress_is_told(ask: Any) -> None:
    told: list[Progress] = []
    ask("damage_scene", TIFF, TIFF, progress=told.append)
    assert told[-1] == Progress("send", 2 * len(TIFF), 2 * len(TIFF))


@pytest.mark.parametrize(
    "name", ["town.geojson", "town.gpkg", "town.tif", "TOWN.TIFF", "town.fgb", "town.parquet", "town.shp"]
)
def test_the_command_saves_the_file_named_and_a_small_picture(
    gateway: Any, pair: list[str], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / name
    assert main(["damage", *pair, "--out", str(out)], transport=gateway.transport) == 0
    stem, ending = Path(name).stem, Path(name).suffix.lower()
    beside = {".tif": [f"{stem}.qml", f"{stem}.sld", f"{name}.aux.xml"], ".shp": [f"{stem}{x}" for x in SHP]}
    beside[".tiff"] = beside[".tif"]
    expected = [name, f"{stem}_quicklook.png", f"{stem}.json", *beside.get(ending, [])]
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(expected)
    assert (out.parent / f"{stem}_quicklook.png").read_bytes() == b"quicklook"
    assert json.loads((out.parent / f"{stem}.json").read_text())["observed_share"] == 0.5
    shown = capsys.readouterr()
    assert "destroyed" in shown.out
    assert f"Saved in {out.parent}: {name}" in shown.out
    assert "post image moved" in shown.err


SHP = (".cpg", ".dbf", ".prj", ".shx")


@pytest.mark.parametrize(("name", "form"), [("a.gpkg", "gpkg"), ("a.fgb", "flatgeobuf"), ("a.parquet", "geoparquet")])
def test_what_the_gateway_writes_is_saved_as_it_comes(
    gateway: Any, pair: list[str], tmp_path: Path, name: str, form: str
) -> None:
    for _ in range(2):  # the second time over the first
        arguments = ["damage", *pair, "--out", str(tmp_path / name), "--output-crs", "source"]
        assert main(arguments, transport=gateway.transport) == 0
    assert (tmp_path / name).read_bytes() == form.encode()
    assert gateway.requests[-1].url.params["output_crs"] == "source"


def test_a_map_is_saved_with_its_styles(gateway: Any, pair: list[str], tmp_path: Path) -> None:
    assert main(["damage", *pair, "--out", str(tmp_path / "town.tif")], transport=gateway.transport) == 0
    for name, form in (("town.qml", "geotiff_qml"), ("town.sld", "geotiff_sld"), ("town.tif.aux.xml", "geotiff_aux")):
        assert (tmp_path / name).read_bytes() == form.encode()


def test_another_layer_holds_the_features(gateway: Any, pair: list[str], tmp_path: Path) -> None:
    from pyogrio.raw import read

    out = tmp_path / "town.shp"
    for _ in range(2):  # the second time over the first
        assert main(["damage", *pair, "--out", str(out)], transport=gateway.transport) == 0
    meta, _, geometry, columns = read(out)
    assert meta["crs"] == "EPSG:4326"
    assert dict(zip(meta["fields"], (column[0] for column in columns), strict=True)) == {
        "class": "destroyed",
        "value": 4,
        "confidence": 0.75,
        "area_m2": 0.72,
        "pixels": 2,
    }
    assert len(geometry) == 1


EMPTY = json.dumps({"type": "FeatureCollection", "districts": None, "features": []}).encode()
COLUMNS = ["class", "value", "confidence", "area_m2", "pixels"]


@pytest.mark.parametrize("ending", ["fgb", "shp"])
def test_a_layer_of_no_building_keeps_its_columns(tmp_path: Path, ending: str) -> None:
    from pyogrio.raw import read

    path = tmp_path / f"empty.{ending}"
    for _ in range(2):
        write_layer(EMPTY, path)
    meta, _, geometry, _ = read(path)
    assert list(meta["fields"]) == COLUMNS
    assert meta["geometry_type"] in ("MultiPolygon", "Polygon")
    assert len(geometry) == 0
    assert meta["crs"] == "EPSG:4326"


@pytest.mark.parametrize("ending", ["fgb", "shp", "gml"])
def test_any_vector_format_holds_the_buildings(tmp_path: Path, ending: str) -> None:
    square = [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]
    properties = {"class": "destroyed", "value": 4, "confidence": None, "area_m2": 0.72, "pixels": 2, "district": 7}
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square}, "properties": properties}
    path = tmp_path / f"town.{ending}"
    write_layer(json.dumps({"type": "FeatureCollection", "districts": [], "features": [feature]}).encode(), path)
    said = gdal("ogrinfo", "-al", path)
    assert "Feature Count: 1" in said
    for value in ("destroyed", "0.72", "district"):
        assert value in said
    assert "olygon" in said.split("Geometry:")[1][:40]


@pytest.mark.parametrize("name", ["town.xyz", "town.csv", "town.json"])
def test_a_file_of_no_such_format_is_a_usage_error(
    gateway: Any, pair: list[str], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["damage", *pair, "--out", str(tmp_path / name)], transport=gateway.transport) == 2
    assert f"{Path(name).suffix} is no format that scenes are saved in" in capsys.readouterr().err
    assert gateway.requests == []
    assert not (tmp_path / name).exists()


def test_a_folder_may_have_a_dot(gateway: Any, pair: list[str], tmp_path: Path) -> None:
    (tmp_path / "there.already").mkdir()
    for name in ("there.already", "2026.11"):
        assert main(["damage", *pair, "--out", str(tmp_path / name)], transport=gateway.transport) == 0
        assert list((tmp_path / name).glob("*.geojson"))


def test_without_its_library_a_shapefile_is_refused_before_anything_is_sent(
    gateway: Any, pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    assert main(["damage", *pair, "--out", str(tmp_path / "a.shp")], transport=gateway.transport) == 1
    assert "maskgate-client[geo]" in capsys.readouterr().err
    assert [request.url.path for request in gateway.requests] == ["/readyz"]


def test_a_folder_of_geotiffs_becomes_a_folder_of_layers(gateway: Any, tmp_path: Path) -> None:
    for number in (1, 2):
        for when in ("pre", "post"):
            (tmp_path / f"flood_0000000{number}_{when}_disaster.tif").write_bytes(TIFF)
    out = tmp_path / "out"
    arguments = ["damage", str(tmp_path), "--out", str(out), "--format", "tif", "--align", "off"]
    assert main(arguments, transport=gateway.transport) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        f"flood_0000000{number}{ending}"
        for number in (1, 2)
        for ending in (".json", ".qml", ".sld", ".tif", ".tif.aux.xml", "_quicklook.png")
    ]
    sent = [request for request in gateway.requests if request.url.path == "/v1/damage"]
    assert {request.url.params["align"] for request in sent} == {"off"}
    assert all(b"flood" not in request.read() for request in sent), "file names stay at home"


def test_tiles_are_sent_as_one_image(gateway: Any, pair: list[str], tmp_path: Path, capsys: Any) -> None:
    arguments = ["--post-tile", pair[0], "--post-tile", pair[1], "--out", str(tmp_path / "a.geojson")]
    assert main(["damage", *pair, *arguments], transport=gateway.transport) == 0
    body = gateway.requests[-1].read()
    assert [body.count(f'name="{name}"; filename'.encode()) for name in ("pre", "post")] == [1, 3]
    assert main(["damage", str(tmp_path), "--pre-tile", pair[0]], transport=gateway.transport) == 2
    assert "tiles are of two images" in capsys.readouterr().err


def test_the_command_sends_a_series(gateway: Any, pair: list[str], tmp_path: Path) -> None:
    dates = ["--post-date", "2018-10-11", "--post-date", "2018-10-13"]
    arguments = ["--post-tile", pair[1], *dates, "--out", str(tmp_path / "a.geojson")]
    assert main(["damage", *pair, *arguments], transport=gateway.transport) == 0
    assert gateway.requests[-1].url.params.get_list("post_date") == dates[1::2]


def test_districts_are_sent_along(gateway: Any, pair: list[str], tmp_path: Path) -> None:
    layer = tmp_path / "districts.geojson"
    layer.write_bytes(b'{"type": "FeatureCollection"}')
    arguments = ["damage", *pair, "--out", str(tmp_path / "a.geojson"), "--districts", str(layer)]
    assert main(arguments, transport=gateway.transport) == 0
    assert b'{"type": "FeatureCollection"}' in gateway.requests[-1].read()


def test_a_file_to_save_to_is_for_two_images(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["damage", str(tmp_path), "--out", "town.gpkg"], transport=gateway.transport) == 2
    assert "for two images" in capsys.readouterr().err
    assert gateway.requests == []


def test_what_the_gateway_refuses_is_one_line(gateway: Any, pair: list[str], tmp_path: Path, capsys: Any) -> None:
    document = {"title": "Images share too little ground", "status": 422, "detail": "They share no ground."}
    gateway.instead = lambda request: (
        httpx.Response(422, json=document | {"code": "pair-apart", "request_id": "r-1"})
        if request.url.path == "/v1/damage"
        else None
    )
    assert main(["damage", *pair, "--out", str(tmp_path / "a.geojson")], transport=gateway.transport) == 1
    assert "They share no ground." in capsys.readouterr().err
    assert not (tmp_path / "a.geojson").exists()
