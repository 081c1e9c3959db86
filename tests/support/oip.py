"""Inference requests as bytes, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

HEADER_LENGTH = "Inference-Header-Content-Length"
_DATATYPES = {"uint8": "UINT8", "int16": "INT16", "float32": "FP32"}
_DTYPES = {datatype: dtype for dtype, datatype in _DATATYPES.items()}
Tensors = Mapping[str, NDArray[Any]]


def json_request(inputs: Tensors, **members: Any) -> dict[str, Any]:
    """Return a request with its tensors as JSON numbers."""
    return {"inputs": [_described(name, v) | {"data": v.reshape(-1).tolist()} for name, v in inputs.items()], **members}


def binary_request(inputs: Tensors, **members: Any) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of a request and the tensors that follow it."""
    described = [_described(name, v) | {"parameters": {"binary_data_size": v.nbytes}} for name, v in inputs.items()]
    return {"inputs": described, **members}, b"".join(v.tobytes() for v in inputs.values())


def sealed(head: Any, tail: bytes) -> dict[str, Any]:
    """Return the content and headers of a request in binary, as keyword arguments of httpx."""
    text = json.dumps(head).encode()
    return {"content": text + tail, "headers": {HEADER_LENGTH: str(len(text))}}


def answered(response: httpx.Response) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the JSON of an answer and its tensors, whichever way they came."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(HEADER_LENGTH, len(response.content)))
    head = json.loads(response.content[:length])
    tail = response.content[length:]
    tensors = {}
    for output in head["outputs"]:
        dtype = _DTYPES[output["datatype"]]
        if "data" in output:
            flat = np.array(output["data"], dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            flat, tail = np.frombuffer(tail[:size], dtype), tail[size:]
        tensors[output["name"]] = flat.reshape(output["shape"])
    assert not tail
    return head, tensors


def _described(name: str, values: NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "shape": list(values.shape), "datatype": _DATATYPES[str(values.dtype)]}
