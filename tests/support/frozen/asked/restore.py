"""A drawn GeoTIFF without its clouds: a hazy strip, and one that is hidden."""

from __future__ import annotations

from typing import Any

from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder

JSON, TIFF = "application/json", "image/tiff"
PATH = "/v1/restore"
ROWS, COLUMNS = 120, 160
HAZY, HIDDEN = 180, 240


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return the answers in each form."""
    pixels = drawings.ground(ROWS, COLUMNS, 5)
    pixels[:, :40], pixels[:, 120:] = HAZY, HIDDEN
    scene = {"image": drawings.geotiff(pixels)}
    return {
        "image": recorder.post(PATH, {"image": drawings.png(pixels)}),
        "report": recorder.post(PATH, scene, JSON),
        "report with files": recorder.post(f"{PATH}?include=image&include=invented&include=geotiff", scene, JSON),
        "GeoTIFF": recorder.post(PATH, scene, TIFF),
    }
