"""What other speakers of the Open Inference Protocol send, and Triton's extensions for operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.access.keys import digest_of
from tests.support.app_client import AppClient
from tests.support.oip import answered, binary_request, json_request, sealed
from tests.support.trivial import label_table, write_trivial_model

TILES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
PAIR = {"pre": TILES, "post": TILES[::-1].copy()}
LABELS = label_table(5)[PAIR["post"][..., 1]]
INFER = "/v2/models/trivial/infer"
INDEX, LOAD, UNLOAD = "/v2/repository/index", "/v2/repository/models/{}/load", "/v2/repository/models/{}/unload"


@pytest.fixture
def own(start: Any, tmp_path: Path) -> AppClient:
    write_trivial_model(tmp_path, "trivial")
    write_trivial_model(tmp_path, "other")
    client: AppClient = start(models={"repository": tmp_path}, engine={"watch_seconds": 0})
    return client


def test_the_server_is_described_with_and_without_a_slash(client: AppClient) -> None:
    plain, slashed = client.get("/v2"), client.get("/v2/")
    assert (plain.status_code, slashed.status_code) == (200, 200)
    assert plain.json() == slashed.json()
    assert {"model_repository", "statistics"} <= set(plain.json()["extensions"])


def test_a_key_opens_both(start: Any) -> None:
    client = start(auth={"keys": {"ct": {"digest": digest_of("ct"), "scopes": ["ct"]}}})
    for path in ("/v2", "/v2/"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"X-API-Key": "ct"}).status_code == 200


def test_null_says_nothing(client: AppClient) -> None:
    request = json_request(PAIR, id=None, outputs=None, parameters=None)
    for tensor in request["inputs"]:
        tensor["parameters"] = None
    _, tensors = answered(client.post(INFER, json=request))
    assert set(tensors) == {"label_map", "probabilities"}
    np.testing.assert_array_equal(tensors["label_map"], LABELS)
    request["outputs"] = [{"name": "label_map", "parameters": None}]
    assert set(answered(client.post(INFER, json=request))[1]) == {"label_map"}


def test_null_says_nothing_beside_binary_tensors_either(client: AppClient) -> None:
    head, tail = binary_request(PAIR, outputs=None, parameters=None)
    for tensor in head["inputs"]:
        tensor["data"] = None
    np.testing.assert_array_equal(answered(client.post(INFER, **sealed(head, tail)))[1]["label_map"], LABELS)


def test_integers_may_be_written_as_floats(client: AppClient) -> None:
    request = json_request(PAIR)
    for tensor in request["inputs"]:
        tensor["data"] = [float(number) for number in tensor["data"]]
    np.testing.assert_array_equal(answered(client.post(INFER, json=request))[1]["label_map"], LABELS)
    request["inputs"][0]["data"][7] = 0.5
    refused = client.post(INFER, json=request)
    assert (refused.status_code, refused.json()["code"]) == (422, "tensor-mismatch")


def test_the_index_lists_every_version_and_what_is_wrong(client: AppClient) -> None:
    entries = {entry["name"]: entry for entry in client.post(INDEX).json()}
    assert entries["trivial"] == {"name": "trivial", "version": "1", "state": "READY", "reason": ""}
    assert entries["no-file"]["state"] == "UNAVAILABLE"
    assert "model.onnx" in entries["no-file"]["reason"]
    ready = client.post(INDEX, json={"ready": True}).json()
    assert {entry["state"] for entry in ready} == {"READY"}
    assert len(ready) < len(entries)
    assert client.post(INDEX, json={"ready": False}).json() == list(entries.values())


@pytest.mark.parametrize("body", [b"[", b'{"ready": 1}', b"[]", b'{"parameters": []}', b"\xff"])
def test_a_body_of_nonsense_is_refused(client: AppClient, body: bytes) -> None:
    assert client.post(INDEX, content=body).json()["code"] == "bad-request"
    assert client.post(LOAD.format("trivial"), content=body).json()["code"] == "bad-request"


def test_a_body_without_end_is_not_read(client: AppClient) -> None:
    assert client.post(INDEX, content=b" " * 100_000).status_code == 413


def test_what_is_unloaded_answers_no_more_until_it_is_loaded(own: AppClient) -> None:
    assert own.post(UNLOAD.format("trivial")).json() == {}
    assert own.post(INFER, json=json_request(PAIR)).json()["code"] == "model-not-found"
    assert own.get("/v2/models/trivial/ready").status_code == 404
    assert own.get("/v2/models/other/ready").status_code == 200
    index = {entry["name"]: entry for entry in own.post(INDEX).json()}
    assert index["trivial"] == {"name": "trivial", "version": "", "state": "UNAVAILABLE", "reason": "unloaded"}
    # A refresh does not bring it back, and unloading it twice is no error.
    assert own.post("/v1/repository/refresh").json()["added"] == []
    assert own.post(UNLOAD.format("trivial"), json={"parameters": {"unload_dependents": False}}).status_code == 200
    assert own.post(LOAD.format("trivial")).json() == {}
    np.testing.assert_array_equal(answered(own.post(INFER, json=json_request(PAIR)))[1]["label_map"], LABELS)


def test_loading_takes_in_what_is_new(own: AppClient, tmp_path: Path) -> None:
    assert own.post(LOAD.format("third")).json()["code"] == "model-not-found"
    write_trivial_model(tmp_path, "third")
    assert own.post(LOAD.format("third")).status_code == 200
    assert own.get("/v2/models/third/ready").status_code == 200


def test_what_does_not_load_is_said(own: AppClient, tmp_path: Path) -> None:
    (write_trivial_model(tmp_path, "third") / "1" / "model.onnx").unlink()
    answer = own.post(LOAD.format("third"))
    assert (answer.status_code, answer.json()["code"]) == (503, "model-not-ready")


def test_a_configuration_sent_along_is_refused(own: AppClient) -> None:
    answer = own.post(LOAD.format("trivial"), json={"parameters": {"config": "{}"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "unprocessable")
    assert own.post(UNLOAD.format("none")).json()["code"] == "model-not-found"


def test_several_processes_do_not_unload(start: Any) -> None:
    client = start(server={"workers": 2})
    answer = client.post(UNLOAD.format("trivial"))
    assert (answer.status_code, answer.json()["code"]) == (501, "unload-unshared")
    assert client.post(LOAD.format("trivial")).status_code == 200


def test_operators_alone_load_and_unload(start: Any) -> None:
    keys = {name: {"digest": digest_of(name), "scopes": [name]} for name in ("infer", "admin")}
    client = start(auth={"keys": keys})
    for path in (INDEX, LOAD.format("trivial"), UNLOAD.format("none")):
        assert client.post(path, headers={"X-API-Key": "infer"}).json()["scope"] == "admin"
        assert client.post(path).status_code == 401
        assert client.post(path, headers={"X-API-Key": "admin"}).status_code in (200, 404)


def test_statistics_tell_of_what_was_answered_and_what_failed(own: AppClient) -> None:
    path = "/v2/models/trivial/stats"
    [before] = own.get(path).json()["model_stats"]
    assert (before["inference_count"], before["last_inference"]) == (0, 0)
    for _ in range(2):
        answered(own.post(INFER, json=json_request(PAIR)))
    own.post(INFER, json={"inputs": []})
    [after] = own.get("/v2/models/trivial/versions/1/stats").json()["model_stats"]
    assert (after["name"], after["version"]) == ("trivial", "1")
    assert (after["inference_count"], after["execution_count"]) == (4, 2)
    assert after["last_inference"] > 1_700_000_000_000
    parts = after["inference_stats"]
    assert (parts["success"]["count"], parts["fail"]["count"]) == (2, 1)
    assert parts["success"]["ns"] >= parts["compute_infer"]["ns"] > 0
    assert parts["cache_hit"] == {"count": 0, "ns": 0}
    everything = own.get("/v2/models/stats").json()["model_stats"]
    assert [each["name"] for each in everything] == ["other", "trivial"]
    assert own.get("/v2/models/none/stats").json()["code"] == "model-not-found"
    assert own.get("/v2/models/trivial/versions/9/stats").json()["code"] == "version-not-found"
