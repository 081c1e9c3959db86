"""Objects of a drawn picture by prompts, at once and click by click."""

from __future__ import annotations

import json
from typing import Any

from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder

PNG, JSON = "image/png", "application/json"
PATH = "/v1/interactive"
# With its margin a box of 128 pixels, four to one of the trivial models': so nothing lies between two.
BOX: dict[str, Any] = {"box": [46, 26, 113, 93], "positive": [[80, 60]]}
SQUARE = {"polygon": [[10, 10], [29, 10], [29, 19], [10, 19]]}
TALLER = {"polygon": [[20, 5], [40, 5], [40, 40], [20, 40]]}
EXTREME = {"extreme": [[46, 60], [80, 26], [113, 60], [80, 93]]}
STROKES = {
    "strokes": {"object": [[[80, 50], [80, 70]]], "background": [[[5, 5], [150, 5]], [[5, 115], [150, 115]]]},
}


def shown(prompt: object) -> dict[str, bytes]:
    """Return the parts of a request."""
    return {"image": drawings.thing(), "prompt": json.dumps(prompt).encode()}


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return the answers of each model, and of the tools but GrabCut, whose floating point decides pixels."""
    two = {"objects": [SQUARE, TALLER]}
    everything = "&".join(f"include={extra}" for extra in ("mask", "overlay", "coco"))
    return {
        "the default": recorder.post(PATH, shown(BOX)),
        "the default's report": recorder.post(f"{PATH}?threshold=0.25", shown(BOX), JSON),
        "iog": recorder.post(f"{PATH}?model=iog", shown(BOX), JSON),
        "dextr": recorder.post(f"{PATH}?model=dextr", shown(EXTREME), JSON),
        "watershed": recorder.post(f"{PATH}?model=watershed", shown(STROKES), JSON),
        "two outlines": recorder.post(f"{PATH}?model=polygon", shown(two)),
        "overlay": recorder.post(f"{PATH}?model=polygon&overlay=true", shown(two)),
        "report with all": recorder.post(f"{PATH}?model=polygon&{everything}", shown(two), JSON),
        "a click outside": recorder.post(PATH, shown({"positive": [[500, 3]]})),
        "not for the model": recorder.post(f"{PATH}?model=dextr", shown(SQUARE)),
    }


def session(recorder: Recorder) -> dict[str, Any]:
    """Return the answers of a session from its beginning to its end."""
    begun = recorder.raw("POST", f"{PATH}/sessions?model=polygon", files={"image": drawings.thing()})
    place = begun.headers["Location"]
    recorder.known[begun.json()["id"]] = "<session>"
    clicks = f"{place}/clicks"
    told = {
        "begun": recorder.document(begun),
        "a click": recorder.ask("POST", clicks, json=SQUARE),
        "another object": recorder.ask("POST", clicks, JSON, json=TALLER | {"object": "new"}),
        "state": recorder.get(place),
        "mask": recorder.get(f"{place}/mask"),
        "overlay": recorder.get(f"{place}/mask?overlay=true"),
        "report": recorder.get(f"{place}/mask?include=mask&include=coco", JSON),
        "a bad click": recorder.ask("POST", clicks, json={"box": [9, 9]}),
        "taken back": recorder.ask("DELETE", f"{clicks}/last"),
        "emptied": recorder.ask("DELETE", clicks),
        "nothing to take back": recorder.ask("DELETE", f"{clicks}/last"),
        "ended": recorder.ask("DELETE", place),
        "gone": recorder.get(place),
    }
    prompted = recorder.raw("POST", f"{PATH}/sessions", files=shown(BOX))
    recorder.known[prompted.json()["id"]] = "<second session>"
    mended = {"negative": [[60, 40]]}
    return told | {
        "begun with a prompt": recorder.document(prompted),
        "mended": recorder.ask("POST", f"{prompted.headers['Location']}/clicks", JSON, json=mended),
    }
