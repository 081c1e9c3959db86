"""Scores of a drawn radiograph; evidence is drawn in floating point, so of its pictures the means are compared."""

from __future__ import annotations

from typing import Any

from tests.support.films import chest, dicom
from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder
from tests.support.frozen.files import described, png

PNG, JSON = "image/png", "application/json"
PATH = "/v1/radiograph"


def _about(data: bytes) -> dict[str, Any]:
    return {"png": png(data, exact=False)} if data.startswith(b"\x89PNG") else described(data)


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return the answers to a picture and to DICOM, of all models and of one."""
    picture, file = {"image": drawings.png(chest())}, {"image": dicom()}
    saliency = f"{PATH}?saliency_class=NORMAL"
    return {
        "report": recorder.post(PATH, picture),
        "DICOM report": recorder.post(f"{PATH}?threshold=0.75", file, JSON),
        "one model": recorder.post(f"{PATH}?model=cxr-bright", file),
        "saliency": recorder.post(saliency, file, PNG, describe=_about),
        "report with saliency": recorder.post(f"{saliency}&include=saliency", picture, JSON, describe=_about),
        "no such class": recorder.post(f"{PATH}?saliency_class=FLU&include=saliency", picture, JSON),
    }
