"""Land cover of a drawn GeoTIFF: two roads, a house beside one, and what lies near it."""

from __future__ import annotations

import json
from typing import Any

from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder
from tests.support.frozen.drawings import NORTH, UTM, WEST, Box
from tests.support.frozen.files import png
from tests.support.trivial_land import GREEN

PNG, JSON, TIFF = "image/png", "application/json", "image/tiff"
PATH = "/v1/land"
ROWS, COLUMNS = 160, 200


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return the answers in each form."""
    boxes: list[tuple[Box, int]] = [
        ((40, 0, 52, ROWS), GREEN["road"]),
        ((0, 100, COLUMNS, 112), GREEN["road"]),
        ((64, 20, 84, 40), GREEN["building"]),
        ((120, 20, 180, 60), GREEN["tree"]),
    ]
    pixels = drawings.drawn(drawings.ground(ROWS, COLUMNS, 5), boxes)
    scene = {"image": drawings.geotiff(pixels)}
    beside = {**scene, "buildings": _house(), "districts": drawings.districts()}
    return {
        "label map": recorder.post(PATH, {"image": drawings.png(pixels)}),
        "overlay": recorder.post(f"{PATH}?overlay=true", scene, PNG, describe=_with_legend),
        "report": recorder.post(PATH, scene, JSON),
        "roads near damage": recorder.post(f"{PATH}?min_area=9999", beside, JSON),
        "report with files": recorder.post(f"{PATH}?include=label_map&include=geotiff", scene, JSON),
        "GeoTIFF": recorder.post(PATH, scene, TIFF),
    }


def _with_legend(data: bytes) -> dict[str, Any]:
    return {"png": png(data, rows=ROWS)}


def _house() -> bytes:
    """Return the house, destroyed, in metres of the image's own reference system."""
    west, east, north, south = WEST + 32, WEST + 42, NORTH - 10, NORTH - 20
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    feature = {
        "type": "Feature",
        "properties": {"class": "destroyed"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    crs = {"type": "name", "properties": {"name": UTM}}
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}).encode()
