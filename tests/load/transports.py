"""`make bench`, second part: what the way to Triton costs.

Two tables, on a drawn 1024² pair and a model that costs next to nothing:

- the four tiles of the pair to the model and their label maps back, alone and all four at once: inside this process,
  by bare clients of Triton (gRPC, HTTP, shared memory), and by the gateway's engine in either transport. All include
  the copies that bring tiles in and label maps out. Rounds alternate, so that a noisy machine troubles all alike;
- the gateway end to end at 16 concurrent requests on either engine, how many tiles Triton put into one execution, and
  how late the gateway's event loop was at worst. With `--against REV` the gateway of another commit comes after this
  one's, engine by engine; the first table is of this process, and so of this commit alone.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import shared_memory

from gateway.engines.base import Engine, Model, choose
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.engines.triton.engine import TritonEngine
from gateway.observability.metrics import Telemetry
from gateway.scheduling.timeline import Timeline
from tests.load.bench import WORKERS, drawn_request, load
from tests.load.beside import against_option, commits
from tests.load.record import record, record_option
from tests.support.processes import gateway
from tests.support.triton import TritonProcess, triton, unavailable
from tests.support.trivial import write_trivial_model

NAME, TILE, TILES, CONCURRENCY, MIB = "trivial", 544, 4, 16, 1024 * 1024
_TRITON = {"ENGINE_KIND": "triton"}
_ENGINES = {
    "embedded": {},
    "Triton, shared memory": _TRITON | {"ENGINE_TRITON_SHARED_MEMORY": "true"},
    "Triton, binary": _TRITON | {"ENGINE_TRITON_SHARED_MEMORY": "false"},
}
Tile = Mapping[str, NDArray[np.uint8]]
Pair = Callable[[], Awaitable[None]]


def main() -> None:
    """Run both and print their tables; keep the figures where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="pairs per transport")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a window of the gateway")
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    if reason := unavailable():
        print(f"\nThe way to Triton is not measured: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder, commits(options.against) as roots:
        models = Path(folder, "models")
        write_trivial_model(models, NAME, tile=TILE, overlap=64)
        with triton(models, Path(folder, "triton.log")) as server:
            milliseconds = asyncio.run(_transports(models, server, options.rounds))
            gateways = [
                {"engine": name, "commit": commit, **_gateway(models, root, server, options.seconds, settings)}
                for name, settings in _ENGINES.items()
                for commit, root in roots.items()
            ]
    _print(milliseconds, gateways)
    record(options.record, "transports", {"milliseconds": milliseconds, "gateways": gateways})


async def _transports(models: Path, server: TritonProcess, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of a pair's four tiles by each way."""
    rng = np.random.default_rng(0)
    batch = {name: rng.integers(0, 256, (TILES, TILE, TILE, 3), np.uint8) for name in ("pre", "post")}
    tiles: list[Tile] = [{name: array[n : n + 1] for name, array in batch.items()} for n in range(TILES)]
    async with AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(TILES))

        async def engine(made: Engine) -> Pair:
            await made.start()
            stack.push_async_callback(made.close)
            return partial(_by_engine, made, choose(made, "damage", NAME), batch)

        def bare(ways: list[Callable[[Tile], NDArray[np.uint8]]]) -> Pair:
            async def pair() -> None:
                loop = asyncio.get_running_loop()
                await asyncio.gather(
                    *(loop.run_in_executor(threads, way, tile) for way, tile in zip(ways, tiles, strict=True))
                )

            return pair

        client = stack.enter_context(InferenceServerClient(server.url))
        memory = stack.enter_context(ExitStack())
        ways: dict[str, Pair] = {
            "in-process (embedded engine)": await engine(EmbeddedEngine(models, "cpu", WORKERS, Telemetry())),
            "bare shared memory": bare([_by_shared_memory(client, memory, n) for n in range(TILES)]),
            "bare gRPC": bare([partial(_by_grpc, client)] * TILES),
            "bare HTTP": bare([_by_http(server.http) for _ in range(TILES)]),
            "Triton engine, shared memory": await engine(
                TritonEngine(models, server.url, True, 128 * MIB, Telemetry())
            ),
            "Triton engine, binary": await engine(TritonEngine(models, server.url, False, 128 * MIB, Telemetry())),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds + 3):
            for name, pair in ways.items():
                start = time.perf_counter()
                await pair()
                seconds[name].append(time.perf_counter() - start)
    return {name: round(1000 * statistics.median(times[3:]), 1) for name, times in seconds.items()}


async def _by_engine(engine: Engine, model: Model, batch: Tile) -> None:
    await engine.infer(model, batch, ["label_map"], Timeline(60))


def _by_grpc(client: InferenceServerClient, tile: Tile) -> NDArray[np.uint8]:
    inputs = []
    for name, array in tile.items():
        inputs.append(InferInput(name, array.shape, "UINT8"))
        inputs[-1].set_data_from_numpy(array)
    labels: NDArray[np.uint8] = client.infer(NAME, inputs, outputs=[InferRequestedOutput("label_map")]).as_numpy(
        "label_map"
    )
    return labels


def _by_shared_memory(
    client: InferenceServerClient, stack: ExitStack, number: int
) -> Callable[[Tile], NDArray[np.uint8]]:
    """Return a way through one region of its own, registered beforehand."""
    image, labels = TILE * TILE * 3, TILE * TILE
    region = f"bench-{os.getpid()}-{number}"
    handle = shared_memory.create_shared_memory_region(region, region, 2 * image + labels, create_only=True)
    stack.callback(shared_memory.destroy_shared_memory_region, handle)
    client.register_system_shared_memory(region, region, 2 * image + labels)
    stack.callback(client.unregister_system_shared_memory, region)
    inputs = [InferInput(name, (1, TILE, TILE, 3), "UINT8") for name in ("pre", "post")]
    for n, each in enumerate(inputs):
        each.set_shared_memory(region, image, n * image)
    output = InferRequestedOutput("label_map")
    output.set_shared_memory(region, labels, 2 * image)

    def way(tile: Tile) -> NDArray[np.uint8]:
        shared_memory.set_shared_memory_region(handle, list(tile.values()))
        client.infer(NAME, inputs, outputs=[output])
        found: NDArray[np.uint8] = shared_memory.get_contents_as_numpy(handle, np.uint8, (1, TILE, TILE), 2 * image)
        return found.copy()

    return way


def _by_http(port: int) -> Callable[[Tile], NDArray[np.uint8]]:
    """Return a way over a kept connection, in Triton's binary extension of the protocol."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def way(tile: Tile) -> NDArray[np.uint8]:
        inputs = [
            {"name": name, "shape": array.shape, "datatype": "UINT8", "parameters": {"binary_data_size": array.nbytes}}
            for name, array in tile.items()
        ]
        outputs = [{"name": "label_map", "parameters": {"binary_data": True}}]
        head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
        length = len(head) + sum(array.nbytes for array in tile.values())
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Length": str(length)}
        parts: list[Any] = [head, *(array.data.cast("B") for array in tile.values())]
        connection.request("POST", f"/v2/models/{NAME}/infer", parts, headers)
        answer = connection.getresponse()
        body = answer.read()
        skip = int(answer.headers["Inference-Header-Content-Length"])
        return np.frombuffer(body, np.uint8, offset=skip).reshape(1, TILE, TILE)

    return way


def _gateway(
    models: Path, root: Path, server: TritonProcess, seconds: float, settings: Mapping[str, str]
) -> dict[str, float]:
    """Return the figures of the gateway of a checkout under load."""
    common = {"LOG_LEVEL": "WARNING", "WORK_THREADS": str(WORKERS), "ENGINE_LANES": str(WORKERS)}
    request = drawn_request()
    url = {"ENGINE_TRITON_URL": server.url, "MODELS_DAMAGE": NAME}
    with gateway(models, root, **common, **url, **settings) as process:
        with load(process.address, request, CONCURRENCY) as loaded:
            loaded(1.0)
            before = _counters(process.address, server)
            rate = loaded(seconds)
        after = _counters(process.address, server)
    tiles, executions, wake_ups, late = (b - a for a, b in zip(before, after, strict=True))
    return {
        "pairs_per_second": round(rate, 2),
        "tiles_per_execution": round(tiles / executions, 2) if executions else 0,
        "late_wake_ups_ratio": round(late / wake_ups, 4),
    }


def _counters(address: str, server: TritonProcess) -> tuple[float, float, float, float]:
    """Return Triton's tiles and executions, and the event loop's wake-ups: all, and those over 20 ms late."""
    exposition = httpx.get(f"{address}/metrics").text
    lag = "maskgate_event_loop_lag_seconds"
    wake_ups, in_time = (
        float(next(line.split()[-1] for line in exposition.splitlines() if line.startswith(start)))
        for start in (f"{lag}_count", f'{lag}_bucket{{le="0.02"}}')
    )
    tiles, executions = (server.metric(f"nv_inference_{name}", NAME) for name in ("count", "exec_count"))
    return tiles, executions, wake_ups, wake_ups - in_time


def _print(milliseconds: dict[str, float], gateways: list[dict[str, Any]]) -> None:
    print(f"\nFour tiles of a 1024² pair, {os.cpu_count()} cores; medians in ms")
    for name, each in milliseconds.items():
        print(f"{name:<34}{each:>8.1f}")
    print(f"\nGateway at {CONCURRENCY} concurrent requests")
    print(f"{'engine':<26}{'commit':<12}{'pairs/s':>9}{'tiles per execution':>21}{'wake-ups > 20 ms late':>23}")
    for one in gateways:
        print(
            f"{one['engine']:<26}{one['commit']:<12}{one['pairs_per_second']:>9.1f}"
            f"{one['tiles_per_execution']:>21.2f}{one['late_wake_ups_ratio']:>23.1%}"
        )


if __name__ == "__main__":
    main()
