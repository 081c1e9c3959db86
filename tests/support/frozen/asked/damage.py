"""Damage of drawn pairs: pictures and scenes, one model and two."""

from __future__ import annotations

from typing import Any

from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder

PNG, JSON, GEOJSON, TIFF, ZIP = "image/png", "application/json", "application/geo+json", "image/tiff", "application/zip"
PATH = "/v1/damage"


def pictures(recorder: Recorder) -> dict[str, Any]:
    """Return the answers to two PNGs."""
    pair = drawings.pair()
    return {
        "label map": recorder.post(PATH, pair),
        "overlay": recorder.post(f"{PATH}?overlay=true", pair, PNG),
        "report": recorder.post(PATH, pair, JSON),
        "report with pictures": recorder.post(f"{PATH}?include=label_map&include=overlay", pair, JSON),
        "another model": recorder.post(f"{PATH}?model=bd-fcn&version=1", drawings.found_pair()),
        "xView2": recorder.post(PATH, pair, ZIP),
        "report with xBD and xView2": recorder.post(f"{PATH}?include=xbd&include=xview2", pair, JSON),
        "label map as TIFF": recorder.post(PATH, pair, TIFF),
        "as of a scene": recorder.post(f"{PATH}?align=off", pair, JSON),
        "no GeoJSON": recorder.post(PATH, pair, GEOJSON),
    }


def fused(recorder: Recorder) -> dict[str, Any]:
    """Return the answers of a finder and a grader."""
    pair = drawings.found_pair()
    return {
        "label map": recorder.post(f"{PATH}?model=fused", pair),
        "report": recorder.post(f"{PATH}?model=fused", pair, JSON),
        "a version": recorder.post(f"{PATH}?model=fused&version=1", pair),
        "the grader alone": recorder.post(f"{PATH}?model=bd-cnn", pair),
    }


def scenes(recorder: Recorder) -> dict[str, Any]:
    """Return the answers to two GeoTIFFs."""
    pair = drawings.scenes()
    counted = drawings.scenes(districts=drawings.districts())
    same = {"pre": pair["pre"], "post": pair["pre"]}
    forms = "&".join(f"include={form}" for form in ("label_map", "overlay", "geojson", "geotiff", "xbd", "xview2"))
    return {
        "label map": recorder.post(f"{PATH}?align=off", pair, PNG),
        "overlay": recorder.post(f"{PATH}?align=off&overlay=true", pair, PNG),
        "GeoTIFF": recorder.post(f"{PATH}?align=off", pair, TIFF),
        "GeoJSON": recorder.post(f"{PATH}?align=off", counted, GEOJSON),
        "xView2": recorder.post(f"{PATH}?align=off", pair, ZIP),
        "report": recorder.post(f"{PATH}?align=off", counted, JSON),
        "report with files": recorder.post(f"{PATH}?align=off&{forms}", pair, JSON),
        "report with a quicklook": recorder.post(f"{PATH}?align=off&include=quicklook", pair, JSON),
        "aligned": recorder.post(PATH, same, JSON),
    }
