"""Whole scenes through a gateway of its own: memory, and the command that a response team would use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pytest
from maskgate_client import Client
from maskgate_client.cli import main

from gateway.repository.card import VoteSpec
from tests.support.geotiffs import gdal, write
from tests.support.large import write_large
from tests.support.processes import GatewayProcess, gateway
from tests.support.towns import in_degrees, place, seen_on, town
from tests.support.trivial import write_trivial_model

WIDTH = 1600
HEIGHT = 14400
"""From this height on all that does not follow it is in use but GDAL's cache, which fills with the label map."""
GROWTH = 32 * 1024 * 1024
"""What a scene twice as high may cost more beside its upload: its buildings, and its label map deflated."""

WIDE, ROWS, TILE = 12_000, 1_500, 544
"""Of a pair on two grids, and of the model: as most scenes are, and narrow enough to be drawn in a few seconds."""
BESIDE = 130 * 1024 * 1024
"""What a first scene takes however wide it is: libraries that are loaded with it, tiles on their way."""
PER_COLUMN = 8_700 + 22 * TILE
"""What each column takes, in bytes: `tests/README.md` has the readings."""
SPARE = 1.1

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root, tile=256, overlap=32)
    return root


def resident(server: GatewayProcess, kind: Literal["VmHWM", "VmRSS"] = "VmHWM") -> int:
    """Return the most bytes that the process ever had resident, or those that it has now."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{kind}:")))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_follows_the_width_as_it_is_written_down(tmp_path: Path) -> None:
    """Rows of tiles with all their probabilities, three at a time, would take a third more than what is observed."""
    write_trivial_model(tmp_path / "models", tile=TILE, overlap=64, vote=VoteSpec(apart=4, least=0.1, largest=512))
    pre, post = write_large(tmp_path, WIDE, ROWS, warped=True)
    with gateway(tmp_path / "models", MODELS_DAMAGE="trivial", WORK_THREADS="2", ENGINE_LANES="2") as server:
        with Client(server.address) as client:
            while not client.ready():
                time.sleep(0.1)
            rest = resident(server, "VmRSS")
            report = client.damage_scene(pre, post, include=["geotiff"])
        assert report.observed_share > 0.99
        taken = resident(server) - rest - pre.stat().st_size - post.stat().st_size
    assert taken < SPARE * (BESIDE + WIDE * PER_COLUMN)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_follow_the_area(models: Path, tmp_path: Path) -> None:
    """Of 23 and 46 megapixels; decoded, the larger pair would take 138 MB more, and its probabilities another 115."""

    def taken(height: int) -> tuple[int, int]:
        pre, post = write_large(tmp_path, WIDTH, height)
        with gateway(models, MODELS_DAMAGE="trivial", WORK_THREADS="2", ENGINE_LANES="2") as server:
            with Client(server.address) as client:
                report = client.damage_scene(pre, post, align="off", include=["geotiff"])
            assert (report.height, report.observed_share) == (height, 1)
            assert len(report.buildings) > height // 100
            return resident(server), pre.stat().st_size + post.stat().st_size

    (small, small_upload), (large, large_upload) = taken(HEIGHT), taken(2 * HEIGHT)
    # GDAL keeps the tiles of the label map and of its overviews decoded in its cache when they are written, until that
    # is full: 82 MiB more resident for 46 megapixels more with a cache of 128 MiB, and 24 with one of 8.
    label_maps = WIDTH * HEIGHT * 4 // 3
    assert large - small < GROWTH + label_maps + 2 * (large_upload - small_upload)


def test_two_geotiffs_in_and_a_geopackage_out(models: Path, tmp_path: Path) -> None:
    where = in_degrees()
    paths = [tmp_path / "pre.tif", tmp_path / "post.tif"]
    paths[0].write_bytes(write(town().pre, place()))
    paths[1].write_bytes(write(seen_on(town().post, where), where))
    with gateway(models, MODELS_DAMAGE="trivial") as server:
        for name in ("town.gpkg", "town.geojson", "town.tif"):
            arguments = ["damage", *map(str, paths), "--out", str(tmp_path / name), "--url", server.address]
            assert main(arguments) == 0
    counted = [
        gdal("ogrinfo", "-so", tmp_path / "town.gpkg", "buildings"),
        gdal("ogrinfo", "-so", "-al", tmp_path / "town.geojson"),
    ]
    features = {line for text in counted for line in text.splitlines() if line.startswith("Feature Count")}
    assert len(features) == 1, "the layer is the same in either format"
    assert 'EPSG",4326' in counted[0]
    assert "NoData Value=255" in gdal("gdalinfo", tmp_path / "town.tif")
