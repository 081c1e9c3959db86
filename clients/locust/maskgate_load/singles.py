"""What is one request: pairs, slices, radiographs and waste of several sizes and kinds, by chance, and tensors.

Tensors travel over the Open Inference Protocol, binary both ways, as tritonclient and KServe clients send them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from maskgate_client.scenes import draw_scene

from maskgate_load.asking import JSON, PNG, Ask, Caller, Check, Reply, is_json, is_label_map, multipart
from maskgate_load.drawings import as_dicom, as_grey, draw_radiograph, draw_slice, draw_waste, encoded

_SCENE = 1024
_PAIRS = ((256, 256), (512, 512), (768, 640), (1024, 1024))
_SLICES = (256, 512)
_RADIOGRAPHS = ((900, 1024), (1600, 1800))
_PHOTOGRAPHS = ((640, 480), (1280, 720))
_LENGTH = "Inference-Header-Content-Length"
_DTYPES = {"UINT8": np.uint8, "INT16": np.int16}


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


def radiographs() -> Single:
    """Return chest radiographs, PNG and JPEG, asked for as scores."""
    asks = []
    for width, height in _RADIOGRAPHS:
        radiograph = draw_radiograph(1, width, height)
        for kind in ("PNG", "JPEG"):
            headers, body = multipart(image=encoded(radiograph, kind))
            accept = {**headers, "Accept": JSON}
            asks.append(Ask("radiographs", "POST", "/v1/radiograph", accept, body, check=is_json("scores", "label")))
    return Single("radiographs", asks)


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


def tensors(name: str, metadata: Mapping[str, Any]) -> Single:
    """Return one tile at a time for the first output of the model `name`, whose OIP metadata is given."""
    inputs = [_input(spec, seed) for seed, spec in enumerate(metadata["inputs"])]
    output = metadata["outputs"][0]
    head = {
        "inputs": [described for described, _ in inputs],
        "outputs": [{"name": output["name"], "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    body = text + b"".join(data for _, data in inputs)
    headers = {_LENGTH: str(len(text)), "Content-Type": "application/octet-stream"}
    return Single("tensors", [Ask("tensors", "POST", f"/v2/models/{name}/infer", headers, body, check=_is(output))])


def _input(spec: Mapping[str, Any], seed: int) -> tuple[dict[str, Any], bytes]:
    """Return the description of a tensor of noise, batch 1, and its bytes.

    Raises:
        KeyError: it is of a type that images do not come in.
    """
    shape, kind = [1, *spec["shape"][1:]], _DTYPES[spec["datatype"]]
    values = np.random.default_rng(seed).integers(0, 200, shape).astype(kind)
    described = {"name": spec["name"], "shape": shape, "datatype": spec["datatype"]}
    return {**described, "parameters": {"binary_data_size": values.nbytes}}, values.tobytes()


def _is(output: Mapping[str, Any]) -> Check:
    """Return a check that the answer is this one output, of batch 1 and all its bytes."""
    shape = [1, *output["shape"][1:]]

    def check(reply: Reply) -> str | None:
        length = int(reply.headers[_LENGTH.lower()])
        found: Sequence[Mapping[str, Any]] = json.loads(reply.content[:length])["outputs"]
        if [(one["name"], one["shape"]) for one in found] != [(output["name"], shape)]:
            return "other outputs than asked for"
        size = found[0]["parameters"]["binary_data_size"]
        return None if len(reply.content) == length + size else "its tensor is cut off, or followed by something"

    return check
