"""`python -m tests.support.foreign.kserve_client HTTP GRPC KEY`: KServe's clients ask, and print what they got."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

TILES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
MODEL = "bd-lite0"


def request(binary: bool) -> InferRequest:
    inputs = []
    for name in ("pre", "post"):
        tensor = InferInput(name, list(TILES.shape), "UINT8")
        tensor.set_data_from_numpy(TILES, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=MODEL, infer_inputs=inputs, request_id="k-1")


def labels(response: Any) -> list[int]:
    """Return how many pixels have each label."""
    [output] = [output for output in response.outputs if output.name == "label_map"]
    return [int(count) for count in np.bincount(output.as_numpy().astype(np.int64).reshape(-1), minlength=5)]


async def by_rest(address: str, key: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    headers = {"Authorization": f"Bearer {key}"}
    told: dict[str, Any] = {
        "live": await client.is_server_live(address, headers=headers),
        "ready": await client.is_server_ready(address, headers=headers),
        "model ready": await client.is_model_ready(address, MODEL, headers=headers),
    }
    for binary in (False, True):
        answer = await client.infer(address, request(binary), model_name=MODEL, headers=dict(headers))
        told[f"labels, binary {binary}"] = labels(answer)
        told["id"] = answer.id
    try:
        await client.infer(address, request(False), model_name="none", headers=dict(headers))
    except httpx.HTTPStatusError as error:
        told["refused"] = error.response.status_code
    await client.close()
    return told


async def by_grpc(address: str, key: str) -> dict[str, Any]:
    client = InferenceGRPCClient(address)
    headers = (("authorization", f"Bearer {key}"),)
    told: dict[str, Any] = {
        "live": await client.is_server_live(headers=headers),
        "ready": await client.is_server_ready(headers=headers),
        "model ready": await client.is_model_ready(MODEL, headers=headers),
    }
    for binary in (False, True):
        answer = await client.infer(request(binary), headers=headers)
        told[f"labels, binary {binary}"] = labels(answer)
        told["id"] = answer.id
    try:
        await client.infer(request(True), headers=(("authorization", "Bearer wrong"),))
    except grpc.RpcError as error:
        told["refused"] = error.code().name
    await client.close()
    return told


async def main() -> None:
    http, by, key = sys.argv[1:]
    print(json.dumps({"rest": await by_rest(http, key), "grpc": await by_grpc(by, key)}))


if __name__ == "__main__":
    asyncio.run(main())
