"""Tensors over the Open Inference Protocol, binary both ways, as tritonclient and KServe clients send them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskgate_load.asking import Ask, Check, Reply
from maskgate_load.singles import Single

_LENGTH = "Inference-Header-Content-Length"
_DTYPES = {"UINT8": np.uint8, "INT16": np.int16}


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
