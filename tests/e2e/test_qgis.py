"""The Processing algorithm of QGIS, run without a window by QGIS itself, and what QGIS makes of the files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from maskgate_client import __version__
from shapely import box
from shapely.geometry import mapping

from tests.support.geotiffs import grid, write
from tests.support.pictures import noise
from tests.support.places import ROOT
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import PALETTE, write_trivial_model

PLUGINS = ROOT / "clients" / "adapters" / "qgis"
# Debian's wrapper around it passes an option that it does not know.
QGIS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
PYTHON = "/usr/bin/python3"
SIDE = 300

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(QGIS is None, reason="no qgis_process: apt-get install qgis python3-qgis"),
]

LOOK = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
layers = {name: QgsVectorLayer(f"{sys.argv[1]}|layername={name}", name, "ogr") for name in sys.argv[3:]}
raster = QgsRasterLayer(sys.argv[2], "map")
buildings = layers["buildings"].renderer()
print(json.dumps({
    "features": {name: layer.featureCount() if layer.isValid() else None for name, layer in layers.items()},
    "crs": layers["buildings"].crs().authid(),
    "drawn": [buildings.type(), buildings.classAttribute()],
    "colours": {one.value(): one.symbol().color().name() for one in buildings.categories()},
    "names": sorted(one["name"] or "" for one in layers["buildings"].getFeatures()) if len(layers) > 4 else None,
    "map": [raster.isValid(), raster.renderer().type()],
    "palette": {int(c.value): [c.color.name(), c.color.alpha(), c.label] for c in raster.renderer().classes()},
}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root)
    with gateway(root, MODELS_DAMAGE="trivial") as process:
        yield process


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a user who has enabled the plugin."""
    folder = tmp_path_factory.mktemp("home")
    run(folder, str(QGIS), "plugins", "enable", "maskgate")
    return folder


def run(home: Path, *command: str, fails: bool = False) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_PLUGINPATH": str(PLUGINS),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def images(folder: Path) -> tuple[Path, Path]:
    ground = noise(SIDE, SIDE) // 8 + 1
    ground[40:80, 40:100, 1] = 60
    ground[150:190, 150:220, 1] = 250
    for name in ("pre.tif", "post.tif"):
        (folder / name).write_bytes(write(ground, grid(SIDE, SIDE)))
    return folder / "pre.tif", folder / "post.tif"


def test_two_layers_in_and_styled_layers_out(server: GatewayProcess, home: Path, tmp_path: Path) -> None:
    pre, post = images(tmp_path)
    known = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": name},
                "geometry": {"type": "Polygon", "coordinates": [grid(SIDE, SIDE).to_lon_lat(corners).tolist()]},
            }
            for name, corners in (
                ("school", mapping(box(40, 40, 100, 80))["coordinates"][0]),
                ("depot", mapping(box(150, 150, 220, 190))["coordinates"][0]),
                ("shed", mapping(box(250, 20, 260, 30))["coordinates"][0]),
            )
        ],
    }
    (tmp_path / "known.geojson").write_text(json.dumps(known))
    for number, more in enumerate(
        ([], [f"FOOTPRINTS={tmp_path}/known.geojson", f"DISTRICTS={tmp_path}/known.geojson"])
    ):
        out, target = tmp_path / f"out{number}.gpkg", tmp_path / f"out{number}.tif"
        arguments = [f"PRE={pre}", f"POST={post}", f"BUILDINGS={out}", f"MAP={target}", f"URL={server.address}", *more]
        said = run(home, str(QGIS), "run", "maskgate:damage", "--", *arguments)
        names = ["buildings", "observed", "alignment", *(["districts", "layer_styles"] if more else [])]
        seen = run(home, PYTHON, "-c", LOOK, str(out), str(target), *names).splitlines()
        look = json.loads(next(line for line in seen if line.startswith("{")))
        assert look["features"]["buildings"] == 2 + number
        assert f"{2 + number} buildings" in said
        assert (look["features"]["observed"], look["features"]["alignment"]) == (1, 2)
        assert look["crs"] == "EPSG:32615"
        assert look["drawn"] == ["categorizedSymbol", "class"]
        colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in PALETTE]
        assert [look["colours"][f"band-{value}"] for value in range(1, 5)] == colours[1:5]
        assert look["map"] == [True, "paletted"]
        assert look["palette"]["0"][1:] == [0, "band-0"]
        assert look["palette"]["4"] == [colours[4], 255, "band-4"]
        if more:
            assert look["names"] == ["depot", "school", "shed"]
            assert look["features"]["districts"] == 3


def test_what_the_gateway_refuses_is_what_qgis_says(server: GatewayProcess, home: Path, tmp_path: Path) -> None:
    pre, _ = images(tmp_path)
    post = tmp_path / "away.tif"
    away = grid(SIDE, SIDE)
    moved = type(away)(away.crs, away.affine @ away.affine.translation(9000, 0), SIDE, SIDE)
    post.write_bytes(write(np.asarray(noise(SIDE, SIDE)), moved))
    arguments = [f"PRE={pre}", f"POST={post}", f"BUILDINGS={tmp_path}/o.gpkg", f"URL={server.address}"]
    said = run(home, str(QGIS), "run", "maskgate:damage", "--", *arguments, fails=True)
    assert "share no ground" in said
    assert not (tmp_path / "o.gpkg").exists()
    nobody = [*arguments[:3], "URL=http://127.0.0.1:9"]
    assert "does not answer" in run(home, str(QGIS), "run", "maskgate:damage", "--", *nobody, fails=True)


def test_the_plugin_has_the_version_of_the_client() -> None:
    metadata = (PLUGINS / "maskgate" / "metadata.txt").read_text()
    assert f"version={__version__}\n" in metadata
