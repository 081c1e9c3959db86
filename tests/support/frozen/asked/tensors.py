"""Tensors by the Open Inference Protocol: metadata, and both ways of sending them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder
from tests.support.oip import binary_request, json_request, sealed

MODEL = "/v2/models/trivial"


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return what is said of a model and what it infers."""
    tiles = np.stack([drawings.ground(64, 64, level) for level in (3, 90, 200)])
    inputs = {"pre": tiles, "post": tiles[::-1].copy()}
    films = {"image": np.stack([drawings.ground(32, 32, level) for level in (3, 200)])}
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in ("label_map", "probabilities")]
    binary, tail = binary_request(inputs, outputs=wanted)
    return {
        "server": recorder.get("/v2"),
        "live": recorder.get("/v2/health/live"),
        "ready": recorder.get("/v2/health/ready"),
        "metadata": recorder.get(MODEL),
        "metadata of a version": recorder.get(f"{MODEL}/versions/1"),
        "model ready": recorder.get(f"{MODEL}/ready"),
        "configuration": recorder.get(f"{MODEL}/config"),
        "configuration of floats": recorder.get("/v2/models/cxr-even/config"),
        "JSON": recorder.ask("POST", f"{MODEL}/infer", json=json_request(inputs, id="17")),
        "binary": recorder.ask("POST", f"{MODEL}/infer", **sealed(binary, tail)),
        "floats": recorder.ask(
            "POST", "/v2/models/cxr-even/infer", json=json_request(films, outputs=[{"name": "scores"}])
        ),
        "no such model": recorder.get("/v2/models/none"),
        "no such version": recorder.get(f"{MODEL}/versions/7"),
        "not ready": recorder.get("/v2/models/no-file"),
        "a wrong tensor": recorder.ask("POST", f"{MODEL}/infer", json=json_request({"pre": tiles})),
    }
