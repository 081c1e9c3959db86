"""The gateway on a real Triton: the same bytes, through crashes of either."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from gateway.engines.triton.shared_memory import FOLDER, PREFIX
from tests.support.callers import Callers
from tests.support.pictures import encode, noise
from tests.support.ports import free_port
from tests.support.processes import GatewayProcess, gateway
from tests.support.triton import TritonProcess, triton
from tests.support.trivial import label_table, write_trivial_model

pytestmark = pytest.mark.e2e
TRANSPORTS = [("true", "shared-memory"), ("false", "binary")]
FILES = {"pre": encode(noise(300, 200)), "post": encode(noise(300, 200, seed=1))}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root, "bd-lite0")
    return root


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    with triton(models, tmp_path_factory.mktemp("triton") / "log") as process:
        yield process


def settings(server: TritonProcess, **more: str) -> dict[str, str]:
    return {"ENGINE_KIND": "triton", "ENGINE_TRITON_URL": server.url, **more}


def post(process: GatewayProcess, accept: str = "image/png") -> httpx.Response:
    return httpx.post(f"{process.address}/v1/damage", files=FILES, headers={"Accept": accept}, timeout=60)


def readiness(process: GatewayProcess) -> dict[str, object]:
    answer: dict[str, object] = httpx.get(f"{process.address}/readyz").json()
    return answer


def regions(process: GatewayProcess, server: TritonProcess) -> tuple[list[str], list[str]]:
    """Return the names of a gateway's regions on disk, and at the server."""
    own = f"{PREFIX}{process.process.pid}-"
    with InferenceServerClient(server.url) as client:
        registered = client.get_system_shared_memory_status().regions
    return [path.name for path in FOLDER.glob(f"{own}*")], [name for name in registered if name.startswith(own)]


@pytest.mark.parametrize(("share", "transport"), TRANSPORTS)
def test_by_grpc_too(models: Path, server: TritonProcess, share: str, transport: str) -> None:
    port = str(free_port())
    tiles = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    inputs = [InferInput(name, tiles.shape, "UINT8") for name in ("pre", "post")]
    for tensor in inputs:
        tensor.set_data_from_numpy(tiles)
    with gateway(models, SERVER_GRPC_PORT=port, **settings(server, ENGINE_TRITON_SHARED_MEMORY=share)) as process:
        assert readiness(process)["transport"] == transport
        with InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert client.is_model_ready("bd-lite0")
            result = client.infer("bd-lite0", inputs)
            np.testing.assert_array_equal(result.as_numpy("label_map"), label_table(5)[tiles[..., 1]])
            with pytest.raises(InferenceServerException, match="is missing"):
                client.infer("bd-lite0", inputs[:1])
            client.unload_model("bd-lite0")
            with pytest.raises(InferenceServerException, match="No model of that name"):
                client.infer("bd-lite0", inputs)
            client.load_model("bd-lite0")
            assert client.infer("bd-lite0", inputs).as_numpy("label_map").shape == (3, 64, 64)


@pytest.mark.parametrize(("share", "transport"), TRANSPORTS)
def test_answers_are_those_of_the_embedded_engine(
    models: Path, server: TritonProcess, share: str, transport: str
) -> None:
    with (
        gateway(models) as ours,
        gateway(models, **settings(server, ENGINE_TRITON_SHARED_MEMORY=share)) as theirs,
    ):
        assert readiness(theirs) == readiness(ours) | {"engine": "triton", "transport": transport}
        assert post(ours).content == post(theirs).content
        one, other = (post(each, "application/json").json() for each in (ours, theirs))
        assert (one["provenance"].pop("engine"), other["provenance"].pop("engine")) == ("embedded", "triton")
        assert one == other
        exposition = httpx.get(f"{theirs.address}/metrics").text
        assert f'maskgate_triton_transport_info{{transport="{transport}"}} 1.0' in exposition
        assert 'maskgate_triton_request_duration_seconds_count{model="bd-lite0",version="1"}' in exposition


def test_requests_of_many_callers_are_batched(models: Path, server: TritonProcess) -> None:
    counters = ("nv_inference_count", "nv_inference_exec_count")
    with gateway(models, **settings(server, WORK_THREADS="1")) as process:
        before = [server.metric(name, "bd-lite0") for name in counters]
        callers = [threading.Thread(target=lambda: [post(process) for _ in range(3)]) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        tiles, executions = (server.metric(name, "bd-lite0") - n for name, n in zip(counters, before, strict=True))
    assert tiles > 2 * executions


@pytest.mark.parametrize(("share", "transport"), TRANSPORTS)
def test_a_server_killed_under_load_costs_clear_errors_only(
    models: Path, server: TritonProcess, share: str, transport: str
) -> None:
    with gateway(models, **settings(server, ENGINE_TRITON_SHARED_MEMORY=share)) as process:
        assert readiness(process)["transport"] == transport
        with Callers(process.address, 6) as callers:
            for pause in (1.5, 0.0):
                time.sleep(1)
                callers.mark("kill")
                server.kill()
                time.sleep(pause)
                if pause:
                    assert httpx.get(f"{process.address}/readyz").status_code == 503
                    reason = f"failed: version 1: Triton does not answer at {server.url}"
                    assert readiness(process)["models"] == {"bd-lite0": reason}
                callers.mark("start")
                server.start()
                back = callers.mark("back")
                print(f"answered again {callers.answered_since(back):.2f} s after Triton was back")
            time.sleep(1)
        assert {status for _, status in callers.answers} <= {200, 503, 504}
        assert callers.answers[-1][1] == 200
        assert not callers.wrong, callers.story()
        assert "Traceback" not in "".join(process.output)


@pytest.mark.parametrize(("share", "transport"), TRANSPORTS)
def test_a_server_that_answers_late_is_not_taken_for_dead(
    models: Path, server: TritonProcess, share: str, transport: str
) -> None:
    with gateway(models, **settings(server, ENGINE_TRITON_SHARED_MEMORY=share)) as process:
        with Callers(process.address, 6) as callers:
            time.sleep(0.5)
            callers.mark("stop")
            server.freeze(4)
            callers.answered_since(callers.mark("go on"))
            time.sleep(0.5)
        # A model's process may be lost where the machine is busy; see deploy/README.md.
        assert {status for _, status in callers.answers} <= {200, 503}
        assert not callers.wrong, callers.story()
        assert readiness(process)["transport"] == transport
        output = "".join(process.output)
        assert not [untrue for untrue in ("does not answer", "cannot be reached", "was replaced") if untrue in output]


def test_a_server_that_answers_nothing_is_gone_until_it_answers(models: Path, server: TritonProcess) -> None:
    with gateway(models, **settings(server)) as process, ThreadPoolExecutor() as pool:
        freezing = pool.submit(server.freeze, 12)
        time.sleep(10.5)
        reason = f"failed: version 1: Triton does not answer at {server.url}"
        assert readiness(process)["models"] == {"bd-lite0": reason}
        assert post(process).status_code == 503
        freezing.result()
        deadline = time.monotonic() + 30
        while post(process).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize(("share", "transport"), TRANSPORTS)
def test_a_model_that_stood_still_gives_nobody_the_answer_of_another(
    models: Path, server: TritonProcess, share: str, transport: str
) -> None:
    with gateway(models, **settings(server, ENGINE_TRITON_SHARED_MEMORY=share)) as process:
        with Callers(process.address, 6) as callers:
            for pause in (1.3, 2.2):
                time.sleep(0.5)
                callers.mark("stop")
                server.hold(pause)
                callers.answered_since(callers.mark("go on"))
            time.sleep(0.5)
        assert {status for _, status in callers.answers} <= {200, 503, 504}
        assert not callers.wrong, callers.story()
        assert server.answers()


def test_a_process_that_stood_still_answers_nobody(server: TritonProcess) -> None:
    with InferenceServerClient(server.url) as client, ThreadPoolExecutor() as pool:

        def ask(level: int) -> int | None:
            """Return the label of a tile of one brightness, or nothing where Triton does not give one."""
            tiles = [InferInput(name, [1, 64, 64, 3], "UINT8") for name in ("pre", "post")]
            for tile in tiles:
                tile.set_data_from_numpy(np.full((1, 64, 64, 3), level, np.uint8))
            try:
                return int(client.infer("bd-lite0", tiles).as_numpy("label_map")[0, 0, 0])
            except InferenceServerException:
                return None

        levels = (20, 70, 120, 170, 220)
        assert [ask(level) for level in levels] == [0, 1, 2, 3, 4]
        holding = pool.submit(server.hold, 1.8)
        time.sleep(0.2)
        given_up = ask(levels[0])
        waiting = pool.submit(ask, levels[1])
        holding.result()
        answers = [given_up, waiting.result(), *(ask(level) for level in levels[2:])]
        assert all(answer in (None, label) for label, answer in enumerate(answers)), answers
        assert server.answers()
        client.unload_model("bd-lite0")
        client.load_model("bd-lite0")
        assert [ask(level) for level in levels] == [0, 1, 2, 3, 4]


def test_shared_memory_is_given_back_and_swept_after_a_crash(models: Path, server: TritonProcess) -> None:
    with gateway(models, **settings(server)) as crashing:
        post(crashing)
        crashing.process.send_signal(signal.SIGKILL)
        crashing.process.wait()
        assert all(regions(crashing, server)), "a killed process cannot tidy up"
    with gateway(models, **settings(server)) as process:
        assert post(process).status_code == 200
        assert all(regions(process, server))
        assert regions(crashing, server) == ([], [])
    assert regions(process, server) == ([], [])


def test_memory_of_a_server_that_was_killed_is_swept_and_that_of_the_living_is_not(
    models: Path, server: TritonProcess, tmp_path: Path
) -> None:
    with triton(models, tmp_path / "log") as other:
        other.crash()
        left = other.memory()
        assert left, "a killed server cannot tidy up"
        other.start()
        assert other.memory()
        assert not any(path.exists() for path in left)
        assert server.memory()
        assert server.answers()
