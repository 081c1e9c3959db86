"""Tasks that are one request each: pairs, slices, films, waste; inputs of several sizes and kinds, by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from maskgate_client.scenes import draw_scene

from maskgate_load.asking import JSON, PNG, Ask, Caller, is_json, is_label_map, multipart
from maskgate_load.chest import as_dicom, as_grey, draw_film, draw_slice
from maskgate_load.drawings import draw_waste, encoded

_SCENE = 1024
_PAIRS = ((256, 256), (512, 512), (768, 640), (1024, 1024))
_SLICES = (256, 512)
_FILMS = ((900, 1024), (1600, 1800))
_PHOTOGRAPHS = ((640, 480), (1280, 720))


@dataclass(frozen=True)
class Single:
    """A scenario of one request, any of `asks`, as likely as each other."""

    task: str
    asks: Sequence[Ask]

    def play(self, caller: Caller) -> None:
        """Send one."""
        caller.ask(caller.rng.choice(self.asks))


def pairs() -> Single:
    """Return satellite images before and after, PNG and JPEG, asked for as label map and as JSON."""
    scenes = [draw_scene(seed, _SCENE) for seed in (1, 2)]
    asks = []
    for number, (width, height) in enumerate(_PAIRS):
        scene = scenes[number % len(scenes)]
        parts = [np.ascontiguousarray(image[:height, :width]) for image in (scene.pre, scene.post)]
        for kind in ("PNG", "JPEG"):
            pre, post = (encoded(part, kind) for part in parts)
            asks += _masks("pairs", "/v1/damage", width, height, pre=pre, post=post)
    return Single("pairs", asks)


def slices() -> Single:
    """Return slices of CT, DICOM and grey PNG, asked for as label map and as JSON."""
    asks = []
    for side in _SLICES:
        units = draw_slice(1, side)
        for image in (as_dicom(units), encoded(as_grey(units), "PNG")):
            asks += _masks("slices", "/v1/ct", side, side, image=image)
    return Single("slices", asks)


def films() -> Single:
    """Return chest films, PNG and JPEG, asked for as scores."""
    asks = []
    for width, height in _FILMS:
        film = draw_film(1, width, height)
        for kind in ("PNG", "JPEG"):
            headers, body = multipart(image=encoded(film, kind))
            accept = {**headers, "Accept": JSON}
            asks.append(Ask("films", "POST", "/v1/radiograph", accept, body, check=is_json("scores", "label")))
    return Single("films", asks)


def waste() -> Single:
    """Return photographs of waste, JPEG, asked for as label map and as JSON."""
    asks = []
    for width, height in _PHOTOGRAPHS:
        asks += _masks("waste", "/v1/waste", width, height, image=encoded(draw_waste(1, width, height), "JPEG"))
    return Single("waste", asks)


def _masks(task: str, path: str, width: int, height: int, **parts: bytes) -> list[Ask]:
    """Return one form as two requests: for a label map of that size, and for JSON."""
    headers, body = multipart(**parts)
    forms: Mapping[str, Ask] = {
        PNG: Ask(task, "POST", path, {**headers, "Accept": PNG}, body, check=is_label_map(width, height)),
        JSON: Ask(task, "POST", path, {**headers, "Accept": JSON}, body, check=is_json("classes")),
    }
    return list(forms.values())
