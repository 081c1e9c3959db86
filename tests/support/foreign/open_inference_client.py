"""`python -m tests.support.foreign.open_inference_client HTTP KEY`: the protocol group's client asks a gateway."""

from __future__ import annotations

import json
import sys
from typing import Any

import httpx
import numpy as np
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.errors import NotFoundError
from open_inference.openapi.types import InferenceRequest, RequestInput, RequestOutput, TensorData

TILES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
MODEL = "bd-lite0"


def request() -> InferenceRequest:
    # Its tensors are of floats, whatever their type.
    data = TensorData.parse_obj(TILES.astype(float).reshape(-1).tolist())
    inputs = [
        RequestInput(name=name, shape=list(TILES.shape), datatype="UINT8", data=data, parameters=None)
        for name in ("pre", "post")
    ]
    asked = [RequestOutput(name="label_map", parameters=None)]
    return InferenceRequest(id="o-1", inputs=inputs, outputs=asked, parameters=None)


def labels(answer: Any) -> list[int]:
    """Return how many pixels have each label."""
    [output] = answer.outputs
    numbers = np.array(output.data.__root__, np.float64).astype(np.int64)
    return [int(count) for count in np.bincount(numbers.reshape(-1), minlength=5)]


def main() -> None:
    address, key = sys.argv[1:]
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        client = OpenInferenceClient(base_url=address, httpx_client=http)
        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_readiness(MODEL)
        client.check_model_version_readiness(MODEL, "1")
        server, model = client.read_server_metadata(), client.read_model_metadata(MODEL)
        told: dict[str, Any] = {
            "server": server.name,
            "extensions": list(server.extensions),
            "inputs": [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs or ()],
            "version": client.read_model_version_metadata(MODEL, "1").name,
            "labels": labels(client.model_infer(MODEL, request=request())),
            "labels of a version": labels(client.model_version_infer(MODEL, "1", request=request())),
        }
        try:
            client.read_model_metadata("none")
        except (NotFoundError, ApiError) as error:
            told["refused"] = error.status_code
    print(json.dumps(told))


if __name__ == "__main__":
    main()
