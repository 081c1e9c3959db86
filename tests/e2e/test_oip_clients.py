"""Those who speak the Open Inference Protocol ask a gateway of two processes that asks for keys."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as by_grpc
import tritonclient.http as by_http
from tritonclient.utils import InferenceServerException

from gateway.access.keys import digest_of
from tests.support.crew import until
from tests.support.ports import free_port
from tests.support.processes import gateway
from tests.support.trivial import label_table, probability_table, write_trivial_model

pytestmark = pytest.mark.e2e
TILES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
LABELS = label_table(5)[TILES[..., 1]]
COUNTS = np.bincount(LABELS.reshape(-1), minlength=5).tolist()
MODEL = "bd-lite0"


def headers() -> dict[str, str]:
    """Return a caller's headers; tritonclient writes into them."""
    return {"authorization": "Bearer key"}


@dataclass(frozen=True)
class Server:
    """Where a gateway answers by HTTP and by gRPC."""

    http: str
    grpc: str


def started(root: Path, workers: int) -> Iterator[Server]:
    write_trivial_model(root, MODEL)
    port, keys = free_port(), json.dumps({"one": digest_of("key")})
    settings = {"SERVER_GRPC_PORT": str(port), "SERVER_WORKERS": str(workers), "AUTH_KEYS": keys}
    with gateway(root, **settings) as process:
        until(lambda: httpx.get(f"{process.address}/v2/health/ready").status_code == 200, "it is not ready")
        yield Server(process.address, f"127.0.0.1:{port}")
        assert "Traceback" not in "".join(process.output)
        process.terminate()
        assert process.process.wait(60) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from started(tmp_path_factory.mktemp("repository"), 2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from started(tmp_path_factory.mktemp("repository"), 1)


def pair(kind: Any, tiles: Any = TILES) -> list[Any]:
    inputs = []
    for name in ("pre", "post"):
        tensor = kind.InferInput(name, tiles.shape, "UINT8")
        tensor.set_data_from_numpy(tiles)
        inputs.append(tensor)
    return inputs


def test_tritonclient_by_grpc(server: Server) -> None:
    with by_grpc.InferenceServerClient(server.grpc) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        with pytest.raises(InferenceServerException, match="Send a key"):
            client.is_model_ready(MODEL)
        assert client.is_model_ready(MODEL, "1", headers=headers())
        assert client.get_server_metadata(headers()).name == "maskgate"
        assert list(client.get_model_metadata(MODEL, headers=headers()).inputs[0].shape) == [-1, 64, 64, 3]
        assert client.get_model_config(MODEL, headers=headers()).config.max_batch_size == 8
        for _ in range(8):
            result = client.infer(MODEL, pair(by_grpc), request_id="r-1", headers=headers(), client_timeout=60)
            assert result.get_response().id == "r-1"
            np.testing.assert_array_equal(result.as_numpy("label_map"), LABELS)
            np.testing.assert_array_equal(result.as_numpy("probabilities"), probability_table(5)[TILES[..., 1]])
        assert client.get_inference_statistics(MODEL, headers=headers()).model_stats[0].name == MODEL
        index = client.get_model_repository_index(headers())
        assert [(model.name, model.state) for model in index.models] == [(MODEL, "READY")]
        for name, inputs, status in (("none", pair(by_grpc), "NOT_FOUND"), (MODEL, [], "INVALID_ARGUMENT")):
            with pytest.raises(InferenceServerException) as refused:
                client.infer(name, inputs, headers=headers())
            assert refused.value.status() == f"StatusCode.{status}"
        with pytest.raises(InferenceServerException, match="several processes"):
            client.unload_model(MODEL, headers=headers())


def test_tritonclient_by_grpc_at_once(server: Server) -> None:
    answers: list[Any] = []
    all_there = threading.Event()

    def take(index: int, result: Any, error: Any) -> None:
        answers.append((index, result, error))
        if len(answers) == 16:
            all_there.set()

    with by_grpc.InferenceServerClient(server.grpc) as client:
        rolled = [np.roll(TILES, index, axis=1) for index in range(16)]
        for index, tiles in enumerate(rolled):
            client.async_infer(MODEL, pair(by_grpc, tiles), partial(take, index), headers=headers())
        assert all_there.wait(60)
    for index, result, error in answers:
        assert error is None
        np.testing.assert_array_equal(result.as_numpy("label_map"), label_table(5)[rolled[index][..., 1]])


def test_tritonclient_loads_and_unloads_by_either(alone: Server) -> None:
    address = alone.http.removeprefix("http://")
    with by_http.InferenceServerClient(address) as http, by_grpc.InferenceServerClient(alone.grpc) as rpc:
        assert rpc.infer(MODEL, pair(by_grpc), headers=headers()).as_numpy("label_map").shape == (2, 64, 64)
        assert http.infer(MODEL, pair(by_http), headers=headers()).as_numpy("label_map").shape == (2, 64, 64)
        # Told by one, counted of both.
        [counted] = http.get_inference_statistics(MODEL, headers=headers())["model_stats"]
        assert counted["inference_count"] == 4
        for one, other in ((http, rpc), (rpc, http)):
            one.unload_model(MODEL, headers=headers())
            with pytest.raises(InferenceServerException, match="No model"):
                other.is_model_ready(MODEL, headers=headers()) or other.get_model_metadata(MODEL, headers=headers())
            [entry] = http.get_model_repository_index(headers())
            assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "unloaded")
            other.load_model(MODEL, headers=headers())
            assert one.is_model_ready(MODEL, headers=headers())
        with pytest.raises(InferenceServerException, match="without parameters"):
            http.load_model(MODEL, headers=headers(), config="{}")


def test_a_server_that_ends_lets_calls_end(tmp_path: Path) -> None:
    for server in started(tmp_path, 1):
        with by_grpc.InferenceServerClient(server.grpc) as client:
            assert client.infer(MODEL, pair(by_grpc), headers=headers()).as_numpy("label_map").shape == (2, 64, 64)


# A caller that asks for much and is stopped before it reads.
GREEDY = """
import sys, time
import tritonclient.grpc as triton
import numpy as np
tiles = np.zeros((8, 64, 64, 3), np.uint8)
inputs = [triton.InferInput(name, tiles.shape, "UINT8") for name in ("pre", "post")]
for tensor in inputs:
    tensor.set_data_from_numpy(tiles)
client = triton.InferenceServerClient(sys.argv[1])
for _ in range(200):
    client.async_infer("bd-lite0", inputs, lambda result, error: None)
print("asked", flush=True)
time.sleep(60)
"""


def test_answers_that_nobody_reads_are_not_held(tmp_path: Path) -> None:
    write_trivial_model(tmp_path, MODEL)
    port = free_port()
    times = {"LIMITS_UPLOAD_SECONDS": "2", "LIMITS_UPLOAD_STALL_SECONDS": "1"}
    with gateway(tmp_path, SERVER_GRPC_PORT=str(port), **times) as process:
        until(lambda: httpx.get(f"{process.address}/readyz").status_code == 200, "it is not ready")
        address = f"127.0.0.1:{port}"
        caller = subprocess.Popen([sys.executable, "-c", GREEDY, address], stdout=subprocess.PIPE, text=True)
        try:
            assert caller.stdout is not None
            caller.stdout.readline()
            caller.send_signal(signal.SIGSTOP)
            nothing = "maskgate_inflight_bytes 0.0"
            until(lambda: nothing not in httpx.get(f"{process.address}/metrics").text, "nothing is asked")
            # Longer than an answer may take; what was asked is worked off meanwhile.
            until(lambda: nothing in httpx.get(f"{process.address}/metrics").text, "answers are held")
            with by_grpc.InferenceServerClient(address) as client:
                assert client.infer(MODEL, pair(by_grpc)).as_numpy("label_map").shape == (2, 64, 64)
        finally:
            caller.kill()
            caller.communicate()
        assert "Traceback" not in "".join(process.output)


def foreign(package: str, module: str, *arguments: str) -> Any:
    """Return what a client of others printed; skips where it is not installed."""
    if find_spec(package) is None:
        pytest.skip(f"the client {package} is not installed")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", f"tests.support.foreign.{module}", *arguments]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout.splitlines()[-1])


def test_kserve_by_rest_and_by_grpc(server: Server) -> None:
    told = foreign("kserve", "kserve_client", server.http, server.grpc, "key")
    same = {
        "live": True,
        "ready": True,
        "model ready": True,
        "labels, binary False": COUNTS,
        "labels, binary True": COUNTS,
        "id": "k-1",
    }
    assert told == {"rest": {**same, "refused": 404}, "grpc": {**same, "refused": "UNAUTHENTICATED"}}


def test_the_protocol_groups_own_client(server: Server) -> None:
    told = foreign("open_inference", "open_inference_client", server.http, "key")
    assert told.pop("extensions") == ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
    assert told == {
        "server": "maskgate",
        "inputs": [[name, "UINT8", [-1, 64, 64, 3]] for name in ("pre", "post")],
        "version": MODEL,
        "labels": COUNTS,
        "labels of a version": COUNTS,
        "refused": 404,
    }
