from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

from gateway.media.gdal import contained
from gateway.media.geo.cog import NOT_OBSERVED, CogFile
from gateway.media.geo.georeference import GeoGrid
from tests.support.geotiffs import gdal, grid

UInt8 = NDArray[np.uint8]

NAMES = ("background", "no-damage", "minor-damage", "major-damage", "destroyed")
PALETTE = np.array([(0, 0, 0), (0, 128, 0), (0, 0, 255), (255, 165, 0), (255, 0, 0)], np.uint8)
TURNED = Affine.translation(366_600, 4_104_480) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5)


def labels(height: int, width: int) -> UInt8:
    drawn = np.zeros((height, width), np.uint8)
    for number, (y, x) in enumerate(np.random.default_rng(0).integers(0, (height - 30, width - 30), (60, 2))):
        drawn[y : y + 20, x : x + 30] = number % 4 + 1
    drawn[-40:, :] = NOT_OBSERVED
    return drawn


def cog(drawn: UInt8, place: GeoGrid | None) -> bytes:
    height, width = drawn.shape
    with CogFile(width, height, PALETTE, place) as file:
        for y in range(0, height, 77):
            file.write(drawn[y : y + 77])
        return file.geotiff(NAMES, {"model": "bd-siamunet", "version": "1"})


@pytest.mark.parametrize(
    "place", [grid(1300, 1100), grid(1300, 1100, affine=TURNED), None], ids=["UTM", "turned", "nowhere"]
)
def test_the_answer_is_cloud_optimised_and_keeps_everything(place: GeoGrid | None, tmp_path: Path) -> None:
    drawn = labels(1100, 1300)
    file = tmp_path / "labels.tif"
    file.write_bytes(cog(drawn, place))
    assert cog_validate(file, strict=True) == (True, [], [])
    with contained(), rasterio.open(file) as dataset:
        assert (dataset.read(1) == drawn).all()
        assert dataset.colormap(1)[4] == (255, 0, 0, 255)
        assert dataset.nodata == NOT_OBSERVED
        assert dataset.tags()["model"] == "bd-siamunet"
        assert dataset.tags(1)["class_2"] == "minor-damage"
        assert dataset.overviews(1) == [2, 4]
        assert dataset.profile["compress"] == "deflate"
        if place:
            assert dataset.crs == place.crs
            assert dataset.transform.almost_equals(place.affine)
        else:
            assert dataset.crs is None


def test_overviews_show_the_majority(tmp_path: Path) -> None:
    drawn = np.zeros((1024, 1024), np.uint8)
    drawn[:, ::4] = 4
    drawn[512:, 512:] = 2
    file = tmp_path / "labels.tif"
    file.write_bytes(cog(drawn, grid(1024, 1024)))
    with contained(), rasterio.open(file, overview_level=0) as dataset:
        half = dataset.read(1)
    assert set(np.unique(half)) <= {0, 2, 4}
    assert (half[256:, 256:] == 2).all()


def test_gdals_own_tools_open_it(tmp_path: Path) -> None:
    drawn = labels(700, 900)
    file = tmp_path / "labels.tif"
    file.write_bytes(cog(drawn, grid(900, 700)))
    said = json.loads(gdal("gdalinfo", "-json", "-hist", file))
    assert said["size"] == [900, 700]
    assert said["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert said["bands"][0]["noDataValue"] == NOT_OBSERVED
    assert said["bands"][0]["colorInterpretation"] == "Palette"
    gdal("gdal_translate", "-q", "-expand", "rgb", file, tmp_path / "colours.tif")
    with contained(), rasterio.open(tmp_path / "colours.tif") as colours:
        seen = np.moveaxis(colours.read(), 0, 2)
    assert (seen[:660] == PALETTE[drawn[:660]]).all()


@settings(max_examples=30)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=8), st.integers(1, 1100))
def test_rows_may_come_in_bands_of_any_height(heights: list[int], width: int) -> None:
    height = sum(heights)
    drawn = np.random.default_rng(height).integers(0, 5, (height, width), np.uint8)
    with CogFile(width, height, PALETTE, None) as file:
        for end, rows in zip(np.cumsum(heights), heights, strict=True):
            file.write(drawn[end - rows : end])
        assert (file.read(slice(0, height), slice(0, width)) == drawn).all()


def test_nothing_touches_the_disk_and_memory_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = _held()
    cog(labels(1100, 1300), grid(1300, 1100))
    assert list(tmp_path.iterdir()) == []
    assert _held() == before
    with CogFile(1300, 1100, PALETTE, None):
        assert len(_held()) == len(before) + 3


def _held() -> list[str]:
    """Return what GDAL's memory file system holds, a folder per file."""
    from rasterio.env import local

    gc.collect()  # what earlier tests left open
    with contained():
        return sorted(local._env._dump_vsimem())
