"""Waste on a drawn photograph; of an overlay the legend's letters are not compared, OpenCV draws them as it likes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder
from tests.support.frozen.files import described, png

PNG, JSON = "image/png", "application/json"
PATH = "/v1/waste"
ROWS = 128


def _with_legend(data: bytes) -> dict[str, Any]:
    return {"png": png(data, rows=ROWS)}


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return the answers in each form."""
    photo = {"image": drawings.photo()}
    large = {"image": drawings.png(np.full((600, 400, 3), 250, np.uint8))}
    return {
        "label map": recorder.post(PATH, photo),
        "overlay": recorder.post(f"{PATH}?overlay=true", photo, PNG, describe=_with_legend),
        "report": recorder.post(PATH, photo, JSON),
        "small pieces": recorder.post(f"{PATH}?min_area=1", photo, JSON),
        "report with a picture": recorder.post(f"{PATH}?include=label_map", photo, JSON, describe=described),
        "a large photograph": recorder.post(PATH, large, JSON),
    }
