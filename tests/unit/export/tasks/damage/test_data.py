"""xBD folders are found, and polygons become the label maps that the data set means."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.errors import DataError
from export.tasks.damage.data import parse_wkt, rasterise, read_pairs
from tests.support import places

SHARED = places.SAMPLES / "building_damage"


def document(*features: tuple[str, str | None], side: int = 16) -> dict[str, object]:
    """Return an xBD JSON of (wkt, subtype) features."""
    return {
        "metadata": {"width": side, "height": side},
        "features": {
            "lng_lat": [],
            "xy": [
                {"properties": {"feature_type": "building"} | ({"subtype": kind} if kind else {}), "wkt": wkt}
                for wkt, kind in features
            ],
        },
    }


def square(low: float, high: float) -> str:
    """Return the WKT ring of an upright square."""
    return f"({low} {low}, {high} {low}, {high} {high}, {low} {high}, {low} {low})"


def write_tile(folder: Path, name: str, features: tuple[tuple[str, str], ...] = ()) -> None:
    """Write one pair in xBD's own layout."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for role, level in (("pre", 10), ("post", 20)):
        image = np.full((16, 16, 4), (level, 0, 200, 128), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{name}_{role}_disaster.png"), image)
    (folder / "labels" / f"{name}_post_disaster.json").write_text(json.dumps(document(*features)))


@pytest.mark.parametrize(
    ("subtype", "value"),
    [("no-damage", 1), ("minor-damage", 2), ("major-damage", 3), ("destroyed", 4), ("un-classified", 255), (None, 1)],
)
def test_subtype_gives_the_value(subtype: str | None, value: int) -> None:
    labels = rasterise(document((f"POLYGON ({square(2, 5)})", subtype)))
    assert labels.shape == (16, 16)
    assert set(np.unique(labels)) == {0, value}


def test_vertices_are_rounded_and_the_boundary_belongs_to_the_building() -> None:
    labels = rasterise(document((f"POLYGON ({square(1.4, 3.6)})", "destroyed")))
    expected = np.zeros((16, 16), np.uint8)
    expected[1:5, 1:5] = 4
    assert (labels == expected).all()


def test_holes_show_what_lay_there_before() -> None:
    ground = (f"POLYGON ({square(0, 15)})", "no-damage")
    ring = (f"POLYGON ({square(2, 12)}, {square(5, 9)})", "major-damage")
    labels = rasterise(document(ground, ring))
    assert labels[3, 3] == 3
    assert (labels[5:10, 5:10] == 1).all()
    assert labels[15, 15] == 1


def test_later_polygons_lie_on_top() -> None:
    first, second = (f"POLYGON ({square(0, 8)})", "no-damage"), (f"POLYGON ({square(4, 12)})", "destroyed")
    assert rasterise(document(first, second))[6, 6] == 4
    assert rasterise(document(second, first))[6, 6] == 1


def test_multipolygon_keeps_its_parts_and_their_holes() -> None:
    wkt = f"MULTIPOLYGON (({square(0, 6)}, {square(2, 4)}), ({square(9, 12)}))"
    polygons = parse_wkt(wkt)
    assert [len(rings) for rings in polygons] == [2, 1]
    labels = rasterise(document((wkt, "minor-damage")))
    assert labels[3, 3] == 0
    assert labels[1, 1] == 2
    assert labels[10, 10] == 2
    assert labels[8, 8] == 0


@pytest.mark.parametrize(
    "wkt", ["POINT (1 2)", "", "POLYGON EMPTY", "POLYGON ((1 2, three 4, 1 2))", "POLYGON ((1 2, 3))"]
)
def test_other_geometry_is_refused(wkt: str) -> None:
    with pytest.raises(DataError, match="geometry"):
        parse_wkt(wkt)


@pytest.mark.parametrize("broken", [{}, {"metadata": {"width": 4}}, document(("POLYGON ((0 0, 1 1, 0 1))", "ruined"))])
def test_other_documents_are_refused(broken: dict[str, object]) -> None:
    with pytest.raises(DataError, match="not an xBD label"):
        rasterise(broken)


def test_published_layout_with_splits(tmp_path: Path) -> None:
    write_tile(tmp_path / "train", "joplin-tornado_00000001", ((f"POLYGON ({square(2, 5)})", "destroyed"),))
    write_tile(tmp_path / "tier3", "moore-tornado_00000002")
    write_tile(tmp_path / "test", "hurricane-harvey_00000003")
    write_tile(tmp_path / "hold", "hurricane-harvey_00000004")
    pairs = read_pairs(tmp_path)
    assert [(p.event, p.split) for p in pairs] == [
        ("hurricane-harvey", "val"),
        ("hurricane-harvey", "hold"),
        ("joplin-tornado", "train"),
        ("moore-tornado", "train"),
    ]
    joplin = pairs[2]
    assert joplin.read_pre().shape == (16, 16, 3)
    assert joplin.read_pre()[0, 0].tolist() == [200, 0, 10]
    assert joplin.read_post()[0, 0].tolist() == [200, 0, 20]
    assert (joplin.read_labels() == 4).sum() == 16


def test_bare_layout_sets_every_seventh_tile_aside(tmp_path: Path) -> None:
    for index in range(8):
        write_tile(tmp_path, f"guatemala-volcano_{index:08d}")
    assert [pair.split for pair in read_pairs(tmp_path)] == ["val", *["train"] * 6, "val"]


def test_manifest_layout(tmp_path: Path) -> None:
    write_tile(tmp_path, "a-flood_00000000")
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a-flood_00000000_post_disaster.png"), np.full((16, 16), 255, np.uint8))
    (tmp_path / "manifest.csv").write_text("tile,split,event,image_format\na-flood_00000000,val,a-flood,png\n")
    [pair] = read_pairs(tmp_path)
    assert (pair.split, pair.event) == ("val", "a-flood")
    assert (pair.read_labels() == 255).all()


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_tile(tmp_path, "a-flood_00000000")
    (tmp_path / "images" / "a-flood_00000000_post_disaster.png").unlink()
    with pytest.raises(DataError, match=r"a-flood_00000000_post_disaster\.png"):
        read_pairs(tmp_path)


def test_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image pair"):
        read_pairs(tmp_path)


def test_text_for_an_image_is_refused(tmp_path: Path) -> None:
    write_tile(tmp_path, "a-flood_00000000")
    (tmp_path / "images" / "a-flood_00000000_pre_disaster.png").write_text("no pixels")
    with pytest.raises(DataError, match="is no picture"):
        read_pairs(tmp_path)[0].read_pre()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared xBD samples are not here")
def test_polygons_of_real_tiles_give_the_masks_shipped_with_them() -> None:
    tiles = sorted((SHARED / "labels_xbd_json").glob("*_post_disaster.json"))[:3]
    assert tiles
    for tile in tiles:
        mask = cv2.imread(str(SHARED / "masks" / f"{tile.stem}.png"), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        labels = rasterise(json.loads(tile.read_text()))
        both, either = (labels > 0) & (mask > 0), (labels > 0) | (mask > 0)
        # That rasteriser treats border pixels in its own way.
        assert both.sum() > 0.9 * either.sum()
        assert (labels == mask)[both].mean() > 0.99
