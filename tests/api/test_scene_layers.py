"""`POST /v1/damage` answered as GeoPackage, FlatGeobuf and GeoParquet, and what makes a COG a layer of a map."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode
from contextlib import closing
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyogrio import list_layers, read_info
from pyogrio.raw import read
from shapely.geometry import shape

from tests.api.test_footprints import HEIGHT, PLACE, WIDTH, collection, ground, house
from tests.api.test_scenes import SIDE, pair, parts, scene
from tests.support.app_client import AppClient
from tests.support.geotiffs import gdal, grid, write
from tests.support.pictures import encode, noise

GPKG, FGB, PARQUET = (
    "application/geopackage+sqlite3",
    "application/vnd.flatgeobuf",
    "application/vnd.apache.parquet",
)
JSON, GEOJSON, TIFF = "application/json", "application/geo+json", "image/tiff"
SENT = (
    house(20, 160, 120, 260, levels=2, name="Süd", tags={"roof": ["flat"]}, Name="N", fid=7, since=None)
    | {"id": "way/1"},
    house(220, 20, 250, 50, levels=None, height=3.5, ruin=True, odd="\ud83c"),
    house(500, 500, 520, 520),
)


def ask(client: AppClient, files: Any, accept: str, **params: Any) -> bytes:
    answer = client.post("/v1/damage", files=files, headers={"Accept": accept}, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == accept
    return bytes(answer.content)


def graded(**more: bytes) -> dict[str, tuple[str, bytes]]:
    data = write(ground(), PLACE)
    return parts(data, data, footprints=collection(*SENT), **more)


def saved(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(("accept", "name"), [(GPKG, "town.gpkg"), (FGB, "town.fgb")])
def test_gdal_reads_the_buildings_of_geojson(client: AppClient, tmp_path: Path, accept: str, name: str) -> None:
    path = saved(tmp_path, name, ask(client, pair(), accept))
    collection_ = json.loads(ask(client, pair(), GEOJSON))
    said = gdal("ogrinfo", "-so", path, "buildings")
    assert ("Feature Count: 2" in said, 'EPSG",4326' in said, "Multi Polygon" in said) == (True,) * 3
    meta, _, geometry, columns = read(path, layer="buildings")
    rows = {tuple(row) for row in zip(*columns, strict=True)}
    assert rows == {tuple(one["properties"].values()) for one in collection_["features"]}
    assert list(meta["fields"]) == list(collection_["features"][0]["properties"])
    shapes = sorted((shapely.from_wkb(one) for one in geometry), key=lambda one: -one.bounds[3])
    for found, feature in zip(shapes, collection_["features"], strict=True):
        assert found.symmetric_difference(shape(feature["geometry"])).area < 1e-10


def test_a_geopackage_has_all_layers_and_a_style(client: AppClient, tmp_path: Path) -> None:
    layer = collection(house(0, 0, 200, 300, name="west") | {"id": "w"}, house(200, 0, 1000, 1000, name="east"))
    post = ground()
    post[:, 300:] = 0
    files = graded(districts=layer) | {"post": ("post", write(post, PLACE, nodata=0))}
    path = saved(tmp_path, "all.gpkg", ask(client, files, GPKG))
    assert [name for name, _ in list_layers(path)][:4] == ["buildings", "districts", "observed", "alignment"]
    meta, _, _, columns = read(path, layer="districts")
    table = dict(zip(meta["fields"], columns, strict=True))
    assert table["name"].tolist() == ["west", "east"]
    assert table["buildings_not_assessed"].tolist() == [0, 1]
    assert table["band-4_buildings"].tolist() == [1, 0]
    assert table["band-4_m2"].tolist() == [pytest.approx(2500, rel=1e-3), 0]
    _, _, geometry, _ = read(path, layer="observed")
    observed = shapely.transform(shapely.from_wkb(geometry[0]), PLACE.from_lon_lat)
    assert observed.symmetric_difference(shapely.box(0, 0, 300, HEIGHT)).area < 1
    meta, _, geometry, columns = read(path, layer="alignment")
    assert columns[0].tolist() == ["pre", "post"]
    outline = shapely.transform(shapely.from_wkb(geometry[1]), PLACE.from_lon_lat)
    assert outline.symmetric_difference(shapely.box(0, 0, WIDTH, HEIGHT)).area < 1
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
        ((qml, sld, default),) = file.execute(
            "SELECT styleQML, styleSLD, useAsDefault FROM layer_styles WHERE f_table_name = 'buildings'"
        )
        (described,) = file.execute("SELECT description FROM gpkg_contents WHERE table_name = 'buildings'").fetchone()
    assert default == 1
    assert 'attr="class"' in qml
    assert "band-4" in sld
    assert json.loads(described)["MODEL"] == "trivial"


def test_properties_become_columns_whatever_they_are_called(client: AppClient, tmp_path: Path) -> None:
    for accept, name in ((GPKG, "sent.gpkg"), (FGB, "sent.fgb")):
        path = saved(tmp_path, name, ask(client, graded(), accept))
        meta, _, _, columns = read(path, layer="buildings")
        table = dict(zip(meta["fields"], columns, strict=True))
        order = np.argsort(table["id"])[::-1]
        assert table["id"][order].tolist() == ["way/1", "2", "1"]
        first, away, second = order
        assert (table["class"][first], table["class"][away]) == ("band-4", None)
        assert (table["not_assessed"][first], table["not_assessed"][away]) == (False, True)
        assert (table["levels"][first], np.isnan(table["levels"][second])) == (2, True)
        assert (table["height"][second], table["ruin"][second], table["odd"][second]) == (3.5, True, "?")
        assert (table["name"][first], table["source_Name"][first], table["source_fid"][first]) == ("Süd", "N", 7)
        assert json.loads(table["tags"][first]) == {"roof": ["flat"]}
        assert table["since"][first] is None


def test_too_many_properties_are_one_column(client: AppClient, tmp_path: Path) -> None:
    many = house(20, 160, 120, 260, **{f"tag{number}": number for number in range(300)})
    files = graded() | {"footprints": ("f", collection(many))}
    path = saved(tmp_path, "many.gpkg", ask(client, files, GPKG))
    meta, _, _, columns = read(path, layer="buildings")
    table = dict(zip(meta["fields"], columns, strict=True))
    assert len(table) < 20
    assert json.loads(table["source_properties"][0])["tag299"] == 299


def described(client: AppClient, files: Any, **params: Any) -> Any:
    """Return what a GeoParquet says of itself, and its columns."""
    io = pytest.importorskip("arro3.io", reason="no arro3-io: the extra `geo`")
    table = io.read_parquet(BytesIO(ask(client, files, PARQUET, **params))).read_all()
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    return json.loads(metadata["geo"]), {name: table.column(name).to_pylist() for name in table.column_names}


def test_geoparquet_has_the_same(client: AppClient) -> None:
    geo, columns = described(client, graded())
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    member = geo["columns"]["geometry"]
    assert (member["encoding"], member["geometry_types"], "crs" in member) == ("WKB", ["MultiPolygon"], False)
    shapes = shapely.from_wkb(columns["geometry"])
    assert member["bbox"] == pytest.approx(shapely.total_bounds(shapes).tolist())
    for found, sent in zip(shapes, SENT, strict=True):
        assert found.symmetric_difference(shape(sent["geometry"])).area < 1e-12
    assert columns["id"] == ["way/1", "1", "2"]
    assert columns["class"][0] == "band-4"
    assert columns["levels"] == [2, None, None]
    assert columns["ruin"] == [None, True, None]


def test_other_readers_of_geoparquet_take_it(client: AppClient, tmp_path: Path) -> None:
    pytest.importorskip("arro3.io", reason="no arro3-io: the extra `geo`")
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow")
    table = parquet.read_table(saved(tmp_path, "town.parquet", ask(client, graded(), PARQUET)))
    assert table.num_rows == 3
    assert b"geo" in table.schema.metadata


@pytest.mark.parametrize(("asked", "code"), [("source", 32615), ("EPSG:3857", 3857), ("EPSG:4326", 4326)])
def test_the_reference_system_is_the_one_asked_for(client: AppClient, tmp_path: Path, asked: str, code: int) -> None:
    expected = shapely.transform(shape(SENT[0]["geometry"]), PLACE.from_lon_lat)
    for accept, name in ((GPKG, "town.gpkg"), (FGB, "town.fgb")):
        path = saved(tmp_path, name, ask(client, graded(), accept, output_crs=asked))
        assert read_info(path, layer="buildings")["crs"] == f"EPSG:{code}"
        assert f'EPSG",{code}' in gdal("ogrinfo", "-so", path, "buildings")
        if asked == "source":
            _, _, geometry, columns = read(path, layer="buildings", columns=["id"])
            found = shapely.from_wkb(geometry[columns[0].tolist().index("way/1")])
            pixels = shapely.transform(found, lambda points: PLACE.pixels_at(points))
            assert pixels.symmetric_difference(expected).area < 0.01
    geo, _ = described(client, graded(), output_crs=asked)
    crs = geo["columns"]["geometry"].get("crs")
    assert (crs and crs["id"]["code"]) == (None if code == 4326 else code)


def test_a_reference_system_of_no_code_is_written_as_it_is(client: AppClient, tmp_path: Path) -> None:
    own = grid(SIDE, SIDE, "+proj=tmerc +lat_0=37 +lon_0=-94.5 +x_0=0 +y_0=0 +ellps=WGS84 +units=m", PLACE.affine)
    where = grid(
        SIDE, SIDE, own.crs.to_wkt(), PLACE.affine.translation(0, 0) @ type(PLACE.affine)(0.5, 0, 0, 0, -0.5, 0)
    )
    data = write(scene(), where)
    for accept, name in ((GPKG, "own.gpkg"), (FGB, "own.fgb")):
        path = saved(tmp_path, name, ask(client, parts(data, data), accept, output_crs="source"))
        assert "Transverse_Mercator" in gdal("ogrinfo", "-so", path, "buildings").replace(" ", "_")
        _, _, geometry, _ = read(path, layer="buildings")
        assert shapely.total_bounds(shapely.from_wkb(geometry)) == pytest.approx([30, -150, 165, -45], abs=0.1)


@pytest.mark.parametrize(
    ("accept", "params", "code", "pointer"),
    [
        (GEOJSON, {"output_crs": "EPSG:3857"}, "parameter-invalid", "/output_crs"),
        (TIFF, {"output_crs": "EPSG:3857"}, "parameter-invalid", "/output_crs"),
        (GPKG, {"output_crs": "EPSG:1"}, "parameter-invalid", "/output_crs"),
        (GPKG, {"output_crs": "here"}, "parameter-invalid", "/output_crs"),
    ],
)
def test_a_reference_system_that_cannot_be_is_refused(
    client: AppClient, accept: str, params: dict[str, str], code: str, pointer: str
) -> None:
    answer = client.post("/v1/damage", files=pair(), headers={"Accept": accept}, params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("accept", [GPKG, FGB, PARQUET])
def test_pictures_have_no_layers(client: AppClient, accept: str) -> None:
    picture = encode(scene())
    answer = client.post("/v1/damage", files=parts(picture, picture), headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
    assert "where on Earth" in answer.json()["detail"]


@pytest.mark.parametrize(("accept", "library"), [(FGB, "pyogrio"), (PARQUET, "arro3")])
def test_what_is_not_installed_is_said(
    client: AppClient, monkeypatch: pytest.MonkeyPatch, accept: str, library: str
) -> None:
    monkeypatch.setattr(
        "gateway.media.geo.vector_files.find_spec",
        lambda name: None if name.startswith(library) else find_spec(name),
    )
    answer = client.post("/v1/damage", files=pair(), headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable"), answer.text
    assert f"written by {library}" in answer.json()["detail"]


def test_no_building_keeps_the_columns(client: AppClient, tmp_path: Path) -> None:
    data = write(noise(SIDE, SIDE) // 8 + 1, grid(SIDE, SIDE))
    for accept, name in ((GPKG, "none.gpkg"), (FGB, "none.fgb")):
        path = saved(tmp_path, name, ask(client, parts(data, data), accept))
        meta, _, geometry, _ = read(path, layer="buildings")
        assert (len(geometry), list(meta["fields"])[:5]) == (0, ["class", "value", "confidence", "area_m2", "pixels"])
    geo, columns = described(client, parts(data, data))
    assert (columns["class"], "bbox" in geo["columns"]["geometry"]) == ([], False)


def test_a_map_brings_its_styles_and_its_table(client: AppClient, tmp_path: Path) -> None:
    files = parts(write(scene(), grid(SIDE, SIDE)), write(scene(), grid(SIDE, SIDE)))
    include = ["geotiff", "geotiff_qml", "geotiff_sld", "geotiff_aux", "gpkg"]
    report = json.loads(ask(client, files, JSON, include=include))
    assert set(report["files"]) == set(include)
    path = saved(tmp_path, "map.tif", b64decode(report["files"]["geotiff"]))
    saved(tmp_path, "map.tif.aux.xml", b64decode(report["files"]["geotiff_aux"]))
    said = json.loads(gdal("gdalinfo", "-json", path))
    rows = said["rat"]["row"]
    assert [(row["f"][0], row["f"][2], row["f"][6]) for row in rows] == [
        (0, "band-0", 0),
        *((value, f"band-{value}", 255) for value in range(1, 5)),
    ]
    assert [row["f"][1] for row in rows] == [c["pixels"] for c in report["classes"]]
    assert said["bands"][0]["noDataValue"] == 255
    qml, sld = (b64decode(report["files"][name]).decode() for name in ("geotiff_qml", "geotiff_sld"))
    assert '<paletteEntry value="0" color="#000000" alpha="0" label="band-0"/>' in qml
    assert 'quantity="4"' in sld
    assert 'opacity="0" label="band-0"' in sld
