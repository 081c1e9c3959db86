from __future__ import annotations

import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyogrio.raw import read
from rasterio.crs import CRS

from gateway.errors import FootprintsInvalid, GeometryUnsuitable
from gateway.media.geo.footprints import FootprintLimits, read_footprints
from gateway.media.geo.geopackage import LayerStyle, geopackage
from gateway.media.geo.georeference import lon_lat_crs
from gateway.media.geo.vector_files import flatgeobuf, geoparquet, lacks_geoparquet
from gateway.media.geo.vector_layers import VectorLayer, feature_collection, placed

SQUARE = shapely.box(7, 47, 8, 48)
NAMES = st.text(max_size=8).filter(lambda name: max(name, default="a") < "\ud800")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    NAMES,
    st.lists(st.integers(0, 9), max_size=2),
    st.sampled_from([1 << 63, -(1 << 63), 10**400, ["x"], {"a": None}]),
)


def layer(*properties: dict[str, Any], shape: Any = SQUARE) -> VectorLayer:
    shapes = np.array([shape] * len(properties), object)
    return VectorLayer(
        "buildings",
        shapes,
        {"class": "text", "value": "integer"},
        {"class": ["destroyed"] * len(properties), "value": [4] * len(properties)},
        ids=range(len(properties)),
        sent=properties,
    )


def as_sent(text: bytes) -> dict[str, Any]:
    """Return the properties of the one footprint of a collection."""
    found = read_footprints(text, FootprintLimits(9, 1 << 20), 99, 99, None)
    return dict(found.sent[0].properties)


def collection(properties: str) -> bytes:
    ring = [[0, 0], [9, 0], [9, 9], [0, 0]]
    geometry = json.dumps({"type": "Polygon", "coordinates": [ring]})
    feature = f'{{"type": "Feature", "properties": {properties}, "geometry": {geometry}}}'
    return f'{{"type": "FeatureCollection", "features": [{feature}]}}'.encode()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=5), min_size=1, max_size=3))
def test_whatever_is_sent_can_be_written_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, sent: list[dict[str, Any]]
) -> None:
    one = layer(*sent)
    names = [column.name.lower() for column in one.table()]
    assert len(set(names)) == len(names)
    wgs84 = lon_lat_crs()
    package = tmp_path_factory.getbasetemp() / "any.gpkg"
    package.write_bytes(geopackage([one], wgs84, {}, ""))
    for file in (package, BytesIO(flatgeobuf(one, wgs84))):
        meta, _, geometry, columns = read(file, layer="buildings")
        assert (len(geometry), len(columns)) == (len(sent), len(meta["fields"]))
        assert len(columns) == len(names)
    if lacks_geoparquet() is None:
        assert geoparquet(one, wgs84)[:4] == b"PAR1"
    found = json.loads(b"".join(feature_collection(one, {})))["features"]
    for feature, properties in zip(found, sent, strict=True):
        for name, value in properties.items():
            assert feature["properties"][one.sent_name(name)] == value


def test_columns_are_of_what_all_values_are(tmp_path: Path) -> None:
    one = layer(
        {"a": 1, "b": 1, "c": True, "d": "x", "e": None, "f": [1], "g": 1 << 64},
        {"a": 2, "b": 2.5, "c": None, "d": 1, "e": None, "f": None, "g": 1},
    )
    kinds = {column.name: column.kind for column in one.table()}
    assert [kinds[name] for name in "abcdefg"] == ["integer", "number", "truth", "text", "text", "text", "text"]
    (tmp_path / "a.gpkg").write_bytes(geopackage([one], lon_lat_crs(), {"buildings": LayerStyle("<q/>", "<s/>")}, "d"))
    meta, _, _, columns = read(tmp_path / "a.gpkg", layer="buildings")
    table = dict(zip(meta["fields"], columns, strict=True))
    assert table["b"].tolist() == [1, 2.5]
    assert table["d"].tolist() == ["x", "1"]
    assert table["g"].tolist() == [str(1 << 64), "1"]


def test_a_reference_system_without_such_places_is_refused() -> None:
    with pytest.raises(GeometryUnsuitable):
        placed(np.array([shapely.box(-1, -80, 1, -79)], object), CRS.from_string("+proj=ortho +lat_0=90"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", None),
        ("-Infinity", None),
        ("1e999", None),
        ("1e300", 1e300),
        ('"\\ud83c"', "?"),
        ('"\\ud83c\\udfe0"', "🏠"),
    ],
)
def test_what_json_has_no_words_for_does_not_come_back(text: str, value: Any) -> None:
    found = as_sent(collection(f'{{"a": {text}, "b": [{text}]}}'))
    assert found == {"a": value, "b": [value]}
    json.dumps(found, allow_nan=False).encode()


def test_what_is_nested_too_deep_is_refused() -> None:
    assert as_sent(collection(f'{{"a": {"[" * 30}{"]" * 30}}}'))
    with pytest.raises(FootprintsInvalid) as refused:
        as_sent(collection(f'{{"a": {"[" * 40}{"]" * 40}}}'))
    assert refused.value.pointer == "/features/0/properties"
    assert as_sent(collection("null")) == as_sent(collection("[1]")) == {}
    assert math.isfinite(as_sent(collection('{"a": 1e2}'))["a"])
