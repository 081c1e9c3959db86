"""The clients that the Open Inference Protocol is spoken for: tritonclient and NVIDIA's perf_analyzer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.support import perf_analyzer
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import label_table, probability_table, write_trivial_model

pytestmark = pytest.mark.e2e
TILES = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-lite0")
    with gateway(root) as process:
        deadline = time.monotonic() + 30
        while httpx.get(f"{process.address}/v2/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process


@pytest.fixture(scope="module")
def address(server: GatewayProcess) -> str:
    return server.address.removeprefix("http://")


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address, concurrency=4) as client:
        yield client


def pair(pre: Any, post: Any, binary: bool) -> list[Any]:
    inputs = []
    for name, tiles in (("pre", pre), ("post", post)):
        tensor = triton.InferInput(name, tiles.shape, "UINT8")
        tensor.set_data_from_numpy(tiles, binary_data=binary)
        inputs.append(tensor)
    return inputs


def test_tritonclient_finds_server_and_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("bd-lite0", "1")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("bd-lite0")["inputs"][0]["shape"] == [-1, 64, 64, 3]
    assert client.get_model_config("bd-lite0")["max_batch_size"] == 8


@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
def test_tritonclient_infers(client: Any, binary_in: bool, binary_out: bool) -> None:
    wanted = [triton.InferRequestedOutput(name, binary_out) for name in ("probabilities", "label_map")]
    inputs = pair(TILES[::-1].copy(), TILES, binary_in)
    result = client.infer("bd-lite0", inputs, request_id="r-1", outputs=wanted)
    assert result.get_response()["id"] == "r-1"
    np.testing.assert_array_equal(result.as_numpy("label_map"), label_table(5)[TILES[..., 1]])
    np.testing.assert_array_equal(result.as_numpy("probabilities"), probability_table(5)[TILES[..., 1]])


def test_concurrent_requests_get_their_own_answers(client: Any) -> None:
    asked = []
    for index in range(12):
        tiles = np.roll(TILES, index, axis=1)[: index % 4 + 1]
        inputs = pair(tiles, tiles, binary=True)
        asked.append((tiles, client.async_infer("bd-lite0", inputs, request_id=str(index))))
    for index, (tiles, request) in enumerate(asked):
        result = request.get_result()
        assert result.get_response()["id"] == str(index)
        np.testing.assert_array_equal(result.as_numpy("label_map"), label_table(5)[tiles[..., 1]])


def test_tritonclient_understands_refusals(client: Any) -> None:
    inputs = pair(TILES, TILES, binary=True)
    with pytest.raises(InferenceServerException, match="No model of that name") as missing:
        client.infer("none-such", inputs)
    assert missing.value.status() == "404"
    with pytest.raises(InferenceServerException, match="'post' is missing") as incomplete:
        client.infer("bd-lite0", inputs[:1])
    assert incomplete.value.status() == "422"
    with pytest.raises(InferenceServerException, match="uncompressed") as compressed:
        client.infer("bd-lite0", inputs, request_compression_algorithm="gzip")
    assert compressed.value.status() == "415"
    assert client.infer("bd-lite0", inputs).as_numpy("label_map").shape == (4, 64, 64)


def test_perf_analyzer_measures_the_gateway(address: str) -> None:
    if not (perf_analyzer.FOLDER / "perf_analyzer").is_file():
        pytest.skip("no perf_analyzer: `make perf` fetches it, on Linux on x86-64")
    said = perf_analyzer.run(
        address,
        "bd-lite0",
        {"pre": (64, 64, 3), "post": (64, 64, 3)},
        *("-b", "2", "--concurrency-range", "2"),
        # No verdict on how steady the machine is: two short windows are enough.
        *("--measurement-mode", "count_windows", "--measurement-request-count", "20", "-r", "10", "-s", "100000"),
    )
    throughput = re.search(r"throughput: ([0-9.]+) infer/sec", said)
    assert throughput, said
    assert float(throughput[1]) > 0
