"""Whole scenes through a gateway of its own: memory, and the command that a response team would use."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskgate_client import Client
from maskgate_client.cli import main

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

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root, tile=256, overlap=32)
    return root


def peak(server: GatewayProcess) -> int:
    """Return the most bytes that the process ever had resident."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_follow_the_area(models: Path, tmp_path: Path) -> None:
    """Of 23 and 46 megapixels; decoded, the larger pair would take 138 MB more, and its probabilities another 115."""

    def resident(height: int) -> tuple[int, int]:
        pre, post = write_large(tmp_path, WIDTH, height)
        with gateway(models, MODELS_DAMAGE="trivial", WORK_THREADS="2", ENGINE_LANES="2") as server:
            with Client(server.address) as client:
                report = client.damage_scene(pre, post, align="off", include=["geotiff"])
            assert (report.height, report.observed_share) == (height, 1)
            assert len(report.buildings) > height // 100
            return peak(server), pre.stat().st_size + post.stat().st_size

    (small, small_upload), (large, large_upload) = resident(HEIGHT), resident(2 * HEIGHT)
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
