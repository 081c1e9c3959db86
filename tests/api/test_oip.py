"""The Open Inference Protocol: every route, both ways of sending tensors, and every bad request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.app import create_app
from gateway.errors import Overloaded
from gateway.settings import ModelSettings, Settings
from tests.support.app_client import AppClient, running
from tests.support.oip import HEADER_LENGTH, answered, binary_request, json_request, sealed
from tests.support.trivial import label_table, probability_table, write_trivial_model, write_version

TILES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
PAIR = {"pre": TILES, "post": TILES[::-1].copy()}
LABELS = label_table(5)[PAIR["post"][..., 1]]
PROBABILITIES = probability_table(5)[PAIR["post"][..., 1]]
INFER = "/v2/models/trivial/infer"


def test_server_metadata_and_health(start: Any) -> None:
    client = start()
    assert client.get("/v2").json() == {
        "name": "maskgate",
        "version": client.app.version,
        "extensions": ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
    }
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    client.services.admission.draining = True
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").status_code == 503


@pytest.mark.parametrize("path", ["/v2/models/trivial", "/v2/models/trivial/versions/1"])
def test_a_model_is_described(client: AppClient, path: str) -> None:
    assert client.get(path).json() == {
        "name": "trivial",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": name, "datatype": "UINT8", "shape": [-1, 64, 64, 3]} for name in ("pre", "post")],
        "outputs": [
            {"name": "label_map", "datatype": "UINT8", "shape": [-1, 64, 64]},
            {"name": "probabilities", "datatype": "UINT8", "shape": [-1, 64, 64, 5]},
        ],
    }
    assert client.get(f"{path}/ready").json() == {"name": "trivial", "ready": True}
    config = client.get(f"{path}/config").json()
    assert config["max_batch_size"] == 8
    assert config["input"][1] == {"name": "post", "data_type": "TYPE_UINT8", "dims": [64, 64, 3]}
    assert config["output"][1] == {"name": "probabilities", "data_type": "TYPE_UINT8", "dims": [64, 64, 5]}


@pytest.mark.parametrize("tail", ["", "/ready", "/config"])
@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("none-such", "model-not-found"),
        ("trivial/versions/2", "version-not-found"),
        ("trivial/versions/x", "version-not-found"),
        ("trivial/versions/01", "version-not-found"),
    ],
)
def test_what_is_not_there_is_404(client: AppClient, model: str, code: str, tail: str) -> None:
    answer = client.get(f"/v2/models/{model}{tail}")
    assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert answer.json()["error"] == answer.json()["detail"]


def test_versions_answer_each_for_itself(tmp_path: Path) -> None:
    write_version(write_trivial_model(tmp_path, "pre-only", inputs=("pre",)), 2, shift=2)
    with running(create_app(Settings(models=ModelSettings(repository=tmp_path)))) as client:
        path = "/v2/models/pre-only"
        assert client.get(path).json()["versions"] == ["1", "2"]
        assert client.get(f"{path}/versions/1/ready").json() == {"name": "pre-only", "ready": True}
        for pinned, version, shift in (
            (f"{path}/versions/1", "1", 0),
            (f"{path}/versions/2", "2", 2),
            (path, "2", 2),
        ):
            head, tensors = answered(client.post(f"{pinned}/infer", json=json_request({"pre": TILES})))
            assert head["model_version"] == version
            np.testing.assert_array_equal(tensors["label_map"], label_table(5, shift)[TILES[..., 1]])
        answer = client.post(f"{path}/infer?version=1", json=json_request({"pre": TILES}))
        assert answer.headers["Maskgate-Version"] == "1"


def test_a_faulty_model_is_not_ready(client: AppClient) -> None:
    assert client.get("/v2/models/no-file/ready").status_code == 503
    for answer in (client.get("/v2/models/no-file"), client.post("/v2/models/no-file/infer", json={})):
        assert (answer.status_code, answer.json()["code"]) == (503, "model-not-ready")
        assert answer.headers["Retry-After"] == "5"


def test_a_model_that_still_loads_is_described_and_not_asked(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = client.services.engine
    loading = [status.__class__(status.name, "loading", model=status.model) for status in engine.statuses()]
    monkeypatch.setattr(engine, "statuses", lambda: loading)
    assert client.get("/v2/models/trivial").status_code == 200
    assert client.get("/v2/models/trivial/ready").status_code == 503
    assert client.post(INFER, json=json_request(PAIR)).json()["code"] == "model-not-ready"


def test_tensors_as_json(client: AppClient) -> None:
    response = client.post(INFER, json=json_request(PAIR, id="17", parameters={"priority": 3}))
    head, tensors = answered(response)
    assert response.headers["Content-Type"] == "application/json"
    assert HEADER_LENGTH not in response.headers
    assert (head["id"], head["model_name"], head["model_version"]) == ("17", "trivial", "1")
    np.testing.assert_array_equal(tensors["label_map"], LABELS)
    np.testing.assert_array_equal(tensors["probabilities"], PROBABILITIES)


def test_tensors_as_nested_json(client: AppClient) -> None:
    request = json_request(PAIR)
    for tensor, values in zip(request["inputs"], PAIR.values(), strict=True):
        tensor["data"] = values.tolist()
    _, tensors = answered(client.post("/v2/models/trivial/versions/1/infer", content=json.dumps(request, indent=1)))
    np.testing.assert_array_equal(tensors["label_map"], LABELS)


def test_tensors_in_binary(client: AppClient) -> None:
    request = binary_request(PAIR, parameters={"binary_data_output": True})
    response = client.post(INFER, **sealed(*request))
    head, tensors = answered(response)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert "id" not in head
    assert all("data" not in output for output in head["outputs"])
    np.testing.assert_array_equal(tensors["label_map"], LABELS)
    np.testing.assert_array_equal(tensors["probabilities"], PROBABILITIES)


def test_one_input_in_binary_and_the_other_not(client: AppClient) -> None:
    head, tail = binary_request({"post": PAIR["post"]})
    head["inputs"] += json_request({"pre": PAIR["pre"]})["inputs"]
    _, tensors = answered(client.post(INFER, **sealed(head, tail)))
    np.testing.assert_array_equal(tensors["label_map"], LABELS)


def test_outputs_are_those_asked_for_in_their_order(client: AppClient) -> None:
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label_map"}]
    head, tensors = answered(client.post(INFER, json=json_request(PAIR, outputs=outputs)))
    assert [output["name"] for output in head["outputs"]] == ["probabilities", "label_map"]
    assert ["data" in output for output in head["outputs"]] == [False, True]
    np.testing.assert_array_equal(tensors["probabilities"], PROBABILITIES)
    outputs = [{"name": "label_map", "parameters": {"binary_data": False}}]
    request = json_request(PAIR, outputs=outputs, parameters={"binary_data_output": True})
    head, _ = answered(client.post(INFER, json=request))
    assert ["data" in output for output in head["outputs"]] == [True]


def test_a_request_of_nothing_but_bytes(client: AppClient) -> None:
    response = client.post("/v2/models/pre-only/infer", content=TILES.tobytes(), headers={HEADER_LENGTH: "0"})
    head, tensors = answered(response)
    assert all("data" not in output for output in head["outputs"])
    np.testing.assert_array_equal(tensors["label_map"], label_table(2)[TILES[..., 1]])


def test_the_answer_says_which_model_and_how_long(client: AppClient) -> None:
    headers = client.post(INFER, **sealed(*binary_request(PAIR))).headers
    assert headers["Maskgate-Model"] == "trivial"
    assert headers["Cache-Control"] == "private, no-store"
    for stage in ("receive", "queue", "decode", "infer", "encode"):
        assert f"{stage};dur=" in headers["Server-Timing"]


def test_the_engine_sees_more_requests_at_once_than_there_are_turns(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: AppClient = start(work={"threads": 1})
    infer, waiting, both = client.services.engine.infer, [], asyncio.Event()

    async def together(*arguments: Any) -> Any:
        waiting.append(arguments)
        if len(waiting) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 10)
        return await infer(*arguments)

    async def ask_twice() -> list[httpx.Response]:
        request = sealed(*binary_request(PAIR))
        return await asyncio.gather(*(client._request("POST", INFER, request) for _ in range(2)))

    monkeypatch.setattr(client.services.engine, "infer", together)
    assert [response.status_code for response in client.run(ask_twice)] == [200, 200]
    assert client.sample("maskgate_tiles_total", model="trivial") == 6


def change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets one place in a request."""

    def set_it(request: dict[str, Any]) -> None:
        *parents, last = path
        for key in parents:
            request = request[key]
        request[last] = to

    return set_it


def described(name: str, **members: Any) -> dict[str, Any]:
    """Return an input without data."""
    return {"name": name, "datatype": "UINT8", "shape": [1, 64, 64, 3], **members}


BAD_JSON: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str | None]] = {
    "no inputs": (change("inputs", to=[]), "tensor-mismatch", "/inputs/pre"),
    "inputs missing": (lambda r: r.pop("inputs"), "bad-request", "/inputs"),
    "inputs are none": (change("inputs", to={"pre": 1}), "bad-request", "/inputs"),
    "id is a number": (change("id", to=3), "bad-request", "/id"),
    "missing input": (lambda r: r["inputs"].pop(), "tensor-mismatch", "/inputs/post"),
    "input twice": (lambda r: r["inputs"].insert(0, r["inputs"][0] | {"data": 0}), "bad-request", "/inputs"),
    "unknown input": (change("inputs", 0, "name", to="before"), "tensor-mismatch", "/inputs"),
    "wrong datatype": (change("inputs", 0, "datatype", to="FP32"), "tensor-mismatch", "/inputs/pre/datatype"),
    "unknown datatype": (change("inputs", 0, "datatype", to="BYTES"), "tensor-mismatch", "/inputs/pre/datatype"),
    "wrong shape": (change("inputs", 1, "shape", to=[1, 64, 64]), "tensor-mismatch", "/inputs/post/shape"),
    "no shape": (change("inputs", 0, "shape", to=[]), "tensor-mismatch", "/inputs/pre/shape"),
    "shape of fractions": (change("inputs", 0, "shape", to=[1.0, 64, 64, 3]), "bad-request", "/inputs/0/shape/0"),
    "two batches": (change("inputs", 1, "shape", 0, to=2), "tensor-mismatch", "/inputs/post/shape"),
    "too few numbers": (change("inputs", 1, "data", to=[1, 2]), "tensor-mismatch", "/inputs/post/data"),
    "number too large": (change("inputs", 0, "data", 5, to=300), "tensor-mismatch", "/inputs/pre/data"),
    "NaN": (change("inputs", 0, "data", 5, to=float("nan")), "bad-request", "/inputs/pre/data"),
    "text": (change("inputs", 0, "data", to=["a"]), "bad-request", "/inputs"),
    "data missing": (lambda r: r["inputs"][0].pop("data"), "bad-request", "/inputs/pre"),
    "data are an index": (change("inputs", 0, "data", to=0), "bad-request", "/inputs"),
    "data are another's index": (change("inputs", 0, "data", to=1), "bad-request", "/inputs"),
    "data elsewhere": (change("parameters", to={"data": [1]}), "bad-request", "/inputs"),
    "data and binary": (
        change("inputs", 0, "parameters", to={"binary_data_size": 12_288}),
        "bad-request",
        "/inputs/pre",
    ),
    "shared memory": (
        change("inputs", 0, to=described("pre", parameters={"shared_memory_region": "r"})),
        "tensor-mismatch",
        "/inputs/pre",
    ),
    "unknown output": (change("outputs", to=[{"name": "mask"}]), "tensor-mismatch", "/outputs"),
    "output twice": (change("outputs", to=[{"name": "label_map"}] * 2), "bad-request", "/outputs"),
    "classification": (
        change("outputs", to=[{"name": "label_map", "parameters": {"classification": 2}}]),
        "tensor-mismatch",
        None,
    ),
}


def assert_refused(response: httpx.Response, code: str, pointer: str | None = None) -> None:
    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["code"] == code
    assert problem["error"] == problem["detail"]
    assert response.status_code == problem["status"] < 500
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(("spoil", "code", "pointer"), BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json(client: AppClient, spoil: Callable[[dict[str, Any]], Any], code: str, pointer: str | None) -> None:
    request = deepcopy(json_request({name: tiles[:1] for name, tiles in PAIR.items()}))
    spoil(request)
    assert_refused(client.post(INFER, content=json.dumps(request)), code, pointer)


@pytest.mark.parametrize("batch", [0, 9])
def test_a_batch_beyond_the_limit(client: AppClient, batch: int) -> None:
    tiles = np.zeros((batch, 64, 64, 3), np.uint8)
    answer = client.post(INFER, **sealed(*binary_request({"pre": tiles, "post": tiles})))
    assert_refused(answer, "tensor-mismatch")
    assert answer.json()["limit"] == 8
    raw = client.post("/v2/models/pre-only/infer", content=tiles.tobytes(), headers={HEADER_LENGTH: "0"})
    assert_refused(raw, "tensor-mismatch")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"inputs": [' + b"[" * 9999, b'"data":[', b'"data":[1']
)
def test_what_is_no_request(client: AppClient, content: bytes) -> None:
    assert_refused(client.post(INFER, content=content), "bad-request")


@pytest.mark.parametrize("length", ["99999999", "-1", "1e3", "", "٣", "9" * 5000])
def test_a_header_length_that_is_none(client: AppClient, length: str) -> None:
    content = sealed(*binary_request(PAIR))["content"]
    answer = client.post(INFER, content=content, headers={HEADER_LENGTH: length.encode()})
    assert_refused(answer, "bad-request")


@pytest.mark.parametrize("short", [-1, 1])
def test_a_header_length_beside_the_json(client: AppClient, short: int) -> None:
    request = sealed(*binary_request(PAIR))
    request["headers"] = {HEADER_LENGTH: str(int(request["headers"][HEADER_LENGTH]) + short)}
    assert_refused(client.post(INFER, **request), "bad-request")


@pytest.mark.parametrize("tail", [b"", PAIR["pre"].tobytes(), PAIR["pre"].tobytes() * 3])
def test_a_tail_of_another_length(client: AppClient, tail: bytes) -> None:
    head, _ = binary_request(PAIR)
    assert_refused(client.post(INFER, **sealed(head, tail)), "bad-request")


@pytest.mark.parametrize(("size", "code"), [(1, "tensor-mismatch"), (-1, "bad-request"), (True, "bad-request")])
def test_a_binary_data_size_that_is_not_the_shapes(client: AppClient, size: int, code: str) -> None:
    head, tail = binary_request(PAIR)
    head["inputs"][0]["parameters"]["binary_data_size"] = size
    assert_refused(client.post(INFER, **sealed(head, tail)), code)


def test_bytes_alone_need_a_model_of_one_input_and_whole_items(client: AppClient) -> None:
    headers = {HEADER_LENGTH: "0"}
    assert_refused(client.post(INFER, content=TILES.tobytes(), headers=headers), "bad-request")
    odd = client.post("/v2/models/pre-only/infer", content=TILES.tobytes()[:-1], headers=headers)
    assert_refused(odd, "tensor-mismatch")


def test_compressed_bodies_are_refused_and_told_so(client: AppClient) -> None:
    answer = client.post(INFER, content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert_refused(answer, "unsupported-media")
    assert answer.headers["Accept-Encoding"] == "identity"


def test_limits_on_body_and_json(start: Any, client: AppClient) -> None:
    request = json.dumps(json_request(PAIR)).encode()
    at_limit = start(limits={"json_bytes": len(request)})
    assert at_limit.post(INFER, content=request).status_code == 200
    assert_refused(at_limit.post(INFER, content=request + b" "), "body-too-large")
    binary = sealed(*binary_request(PAIR))
    assert start(limits={"json_bytes": 1000}).post(INFER, **binary).status_code == 200
    small = start(limits={"body_bytes": len(binary["content"]) - 1})
    assert_refused(small.post(INFER, **binary), "body-too-large")
    beyond = b" " * (1000 + 8 * TILES[0].nbytes + 1)
    refused = start(limits={"json_bytes": 1000}).post("/v2/models/pre-only/infer", content=beyond)
    assert_refused(refused, "body-too-large")
    assert refused.json()["limit"] == len(beyond) - 1
    wordy = json_request(PAIR, parameters={"note": "a" * 300_000})
    assert_refused(client.post(INFER, json=wordy), "body-too-large")


def test_nothing_stays_reserved(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start()
    for request in (sealed(*binary_request(PAIR)), {"json": json_request(PAIR)}, {"content": b"{"}):
        client.post(INFER, **request)
    assert client.sample("maskgate_inflight_requests") == 0
    assert client.sample("maskgate_inflight_bytes") == 0
    assert client.sample("maskgate_stage_duration_seconds_count", task="infer", stage="infer") == 2

    def full(*_: object) -> None:
        raise Overloaded("Too many bytes are in flight.", retry_after=3)

    monkeypatch.setattr(client.services.admission, "take", full)
    answer = client.post(INFER, json=json_request(PAIR))
    assert (answer.status_code, answer.headers["Retry-After"], "error" in answer.json()) == (503, "3", True)


def test_an_engine_that_fails_is_told_without_its_words(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> dict[str, Any]:
        raise RuntimeError("secret")

    monkeypatch.setattr(client.services.engine, "infer", fail)
    answer = client.post(INFER, json=json_request(PAIR))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["error"]
    assert "secret" not in answer.text


def test_problems_elsewhere_have_no_member_error(client: AppClient) -> None:
    assert "error" not in client.get("/v1/models/none-such").json()
    assert "error" not in client.get("/v23").json()
    assert "error" in client.get("/v2/none-such").json()
