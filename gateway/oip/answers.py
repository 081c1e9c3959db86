"""What the Open Inference Protocol answers: metadata, Triton's model configuration, and inferred tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway import __version__
from gateway.engines.base import Model, Tensors
from gateway.oip.request import InferRequest, datatype
from gateway.oip.tensors import write_numbers
from gateway.repository.card import Card, TensorSpec
from gateway.repository.config import BACKENDS, PLATFORMS, TRITON_TYPES

SERVER = {
    "name": "maskgate",
    "version": __version__,
    "extensions": ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
}
"""The server's metadata."""


@dataclass(frozen=True)
class InferAnswer:
    """The body of an answer, and the length of its JSON where tensors follow in binary."""

    body: bytes
    header_length: int | None


def model_metadata(card: Card, versions: Sequence[int]) -> dict[str, Any]:
    """Return a model's metadata; -1 stands for the batch axis."""
    return {
        "name": card.name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORMS[card.format],
        "inputs": [_tensor_metadata(spec) for spec in card.inputs],
        "outputs": [_tensor_metadata(spec) for spec in card.outputs],
    }


def model_config(card: Card) -> dict[str, Any]:
    """Return a model's configuration as far as its card states it, in the JSON of Triton's HTTP interface."""
    return {
        "name": card.name,
        "platform": PLATFORMS[card.format],
        "backend": BACKENDS[card.format],
        "version_policy": {"all": {}},
        "max_batch_size": card.max_batch_size,
        "input": [_tensor_config(spec) for spec in card.inputs],
        "output": [_tensor_config(spec) for spec in card.outputs],
        "dynamic_batching": {},
    }


def infer_answer(request: InferRequest, model: Model, tensors: Tensors) -> InferAnswer:
    """Return `tensors` as `request` wants them.

    Raises:
        Unprocessable: JSON cannot say one of their values.
    """
    described, raw = [], []
    for output in request.outputs:
        # One call's arrays may be strided views; their bytes are sent in row-major order.
        values = np.ascontiguousarray(tensors[output.spec.name])
        tensor: dict[str, Any] = {
            "name": output.spec.name,
            "datatype": datatype(output.spec),
            "shape": list(values.shape),
        }
        if output.binary:
            raw.append(values.data)
            described.append(_json(tensor | {"parameters": {"binary_data_size": values.nbytes}}))
        else:
            described.append(_json(tensor)[:-1] + b',"data":' + write_numbers(values) + b"}")
    head = {"model_name": model.name, "model_version": str(model.version)}
    if request.id is not None:
        head["id"] = request.id
    text = _json(head)[:-1] + b',"outputs":[' + b",".join(described) + b"]}"
    return InferAnswer(b"".join([text, *raw]), len(text) if raw else None)


def _tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatype(spec), "shape": [-1, *spec.shape]}


def _tensor_config(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": TRITON_TYPES[spec.dtype], "dims": list(spec.shape)}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
