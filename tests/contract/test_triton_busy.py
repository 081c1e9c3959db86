"""What the Triton engine makes of a server that is slow to say how it stands: busy, or gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.engines.triton import engine as engine_module
from gateway.engines.triton import rpc
from gateway.engines.triton.engine import TritonEngine
from gateway.errors import DeadlineExceeded, ModelNotReady, Overloaded
from gateway.observability.metrics import Telemetry
from tests.support.fake_triton import FakeTriton, Hook, fake_triton, hanging, passing, refusing
from tests.support.fake_triton_play import MIB, ask, pair, play, ready, reason, until
from tests.support.trivial import write_trivial_model, write_version

GONE_SECONDS = 7.5
"""As deploy/README.md says."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root, "pair")
    return root


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Let probes come, and end, five times as fast; return the time after which a server is gone."""
    monkeypatch.setattr(rpc, "SHORT_SECONDS", 0.2)
    monkeypatch.setattr(engine_module, "SHORT_SECONDS", 0.2)
    monkeypatch.setattr(engine_module, "_LOOK_SECONDS", 0.1)
    return GONE_SECONDS / 5


def waiting(seconds: float) -> Hook:
    """Return a hook that lets every request through late."""

    async def wait(request: Any, context: grpc.aio.ServicerContext) -> None:
        await asyncio.sleep(seconds)

    return wait


@pytest.mark.parametrize("full", [False, True], ids=["answers", "refuses for a full queue"])
def test_a_server_that_answers_requests_is_not_gone_however_slow_its_probes_are(
    models: Path, impatient: float, full: bool
) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model, loads = pair(engine), list(fake.loads)
        fake.other_hook = waiting(2 * rpc.SHORT_SECONDS)
        if full:
            fake.hook = refusing(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        end = time.monotonic() + 3 * impatient
        while time.monotonic() < end:
            try:
                await ask(engine, model, items=2)
            except Overloaded:
                assert full
            assert ready(engine)
            await asyncio.sleep(0.05)
        fake.hook = fake.other_hook = passing
        await ask(engine, model)
        assert fake.loads == loads, "nobody takes it for another server"

    play(models, scenario)


def test_probes_that_are_missed_now_and_then_take_nothing_away(models: Path, impatient: float) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        for _ in range(3):
            fake.other_hook = hanging
            await asyncio.sleep(impatient / 2)
            fake.other_hook = passing
            await asyncio.sleep(impatient / 4)
            assert ready(engine)

    play(models, scenario)


def test_a_server_that_hangs_is_gone_within_the_time_that_is_documented(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        fake.hook = fake.other_hook = hanging
        began = time.monotonic()
        await until(lambda: not ready(engine))
        assert GONE_SECONDS - 2 < time.monotonic() - began < GONE_SECONDS + 2
        assert reason(engine) == f"Triton does not answer at {fake.url}"
        with pytest.raises(ModelNotReady):
            pair(engine)
        fake.hook = fake.other_hook = passing
        await until(lambda: ready(engine))
        await ask(engine, pair(engine), items=3)

    play(models, scenario)


def test_a_server_that_refuses_is_gone_at_once(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        await fake.stop()
        began = time.monotonic()
        await until(lambda: not ready(engine))
        assert time.monotonic() - began < 2, "no patience is for one that is not there"
        assert reason(engine) == f"Triton does not answer at {fake.url}"
        await fake.start()
        await until(lambda: ready(engine))

    play(models, scenario)


def test_the_answer_of_a_version_that_fell_meanwhile_is_returned(models: Path, impatient: float) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        go = asyncio.Event()

        async def wait(request: Any, context: Any) -> None:
            await go.wait()

        await ask(engine, pair(engine), items=3)
        fake.hook, fake.other_hook = wait, hanging
        asking = asyncio.create_task(ask(engine, pair(engine), items=3))
        await until(lambda: not ready(engine))
        go.set()
        await asking
        assert not ready(engine), "the probe alone makes it ready again"
        fake.other_hook = passing
        await until(lambda: ready(engine))

    play(models, scenario)


def test_an_answer_after_the_file_was_replaced_unseen_is_not_returned(tmp_path: Path, impatient: float) -> None:
    """A Triton that was started again meanwhile has read the new file, and nobody has told the engine of it."""
    folder = write_trivial_model(tmp_path, "pair")

    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        go = asyncio.Event()

        async def wait(request: Any, context: Any) -> None:
            await go.wait()

        await ask(engine, pair(engine))
        fake.hook, fake.other_hook = wait, hanging
        asking = asyncio.create_task(ask(engine, pair(engine)))
        await until(lambda: not ready(engine))
        write_version(folder, 1, shift=1)
        go.set()
        with pytest.raises(ModelNotReady, match="replaced"):
            await asking
        fake.other_hook = passing

    play(tmp_path, scenario)


def test_a_request_has_its_own_time_for_registering_memory(models: Path, impatient: float) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        assert engine.transport == "shared-memory"
        model = pair(engine)
        fake.other_hook = waiting(2 * rpc.SHORT_SECONDS)
        await ask(engine, model, items=3)
        fake.other_hook = hanging
        fake.regions.clear()
        with pytest.raises(DeadlineExceeded):
            await ask(engine, model, items=3, seconds=0.5)
        fake.other_hook = passing

    play(models, scenario)


def test_a_version_is_loaded_by_a_server_that_is_slow_to_say_so(tmp_path: Path, impatient: float) -> None:
    folder = write_trivial_model(tmp_path, "pair")

    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        fake.other_hook = waiting(2 * rpc.SHORT_SECONDS)
        write_version(folder, 2, shift=1)
        result = await engine.refresh()
        assert (result.changed, result.failed) == (("pair",), {})
        fake.other_hook = passing

    play(tmp_path, scenario)


def test_a_model_whose_process_is_lost_is_loaded_anew_by_a_slow_server(models: Path, impatient: float) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        async def lost(request: Any, context: grpc.aio.ServicerContext) -> None:
            if not fake.unloads:
                await context.abort(grpc.StatusCode.INTERNAL, "Stub process 'pair_0_0' is not healthy.")

        fake.hook, fake.other_hook = lost, waiting(2 * rpc.SHORT_SECONDS)
        with pytest.raises(ModelNotReady, match="process"):
            await ask(engine, pair(engine))
        assert reason(engine) == "a request was not answered: The process that runs model pair is lost."
        await until(lambda: ready(engine))
        fake.other_hook = passing
        assert (fake.unloads, fake.loads) == (["pair"], ["pair", "pair"])

    play(models, scenario)


def test_a_model_that_triton_has_not_loaded_is_told_from_a_triton_that_is_gone(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        details = "Request for unknown model: 'pair' version 1 is not at ready state"
        fake.hook = refusing(grpc.StatusCode.UNAVAILABLE, details)
        with pytest.raises(ModelNotReady, match="not loaded"):
            await ask(engine, pair(engine))
        assert reason(engine) == "a request was not answered: Model pair is not loaded."
        fake.hook = passing
        await until(lambda: ready(engine))
        assert fake.loads == ["pair", "pair"], "it may be another server, which is told everything again"

    play(models, scenario)


def test_a_server_that_is_slow_to_take_a_connection_up_is_found(models: Path) -> None:
    async def run() -> None:
        async with fake_triton(models) as fake, slow_to_connect(fake.port, 0.7) as url:
            engine = TritonEngine(models, url, True, MIB, Telemetry())
            await engine.start()
            await until(lambda: ready(engine))
            await ask(engine, pair(engine))
            await engine.close()

    asyncio.run(run())


@asynccontextmanager
async def slow_to_connect(port: int, seconds: float) -> AsyncIterator[str]:
    """Pass connections on to a port of this host, each after a while; yield where they are taken."""

    passing_on: list[asyncio.Task[Any]] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await asyncio.sleep(seconds)
            there, back = await asyncio.open_connection("127.0.0.1", port)
            with closing(back):
                await asyncio.gather(copy(reader, back), copy(there, writer))

    def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing_on.append(asyncio.create_task(pass_on(reader, writer)))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in passing_on:
            task.cancel()
        await asyncio.gather(*passing_on, return_exceptions=True)
