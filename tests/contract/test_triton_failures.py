"""What the Triton engine makes of a server that is slow, full, gone, back again, or elsewhere."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.engines.base import choose
from gateway.engines.triton.engine import TritonEngine
from gateway.engines.triton.shared_memory import FOLDER, Region, sweep_dead
from gateway.errors import DeadlineExceeded, Internal, ModelNotReady, Overloaded
from gateway.observability.metrics import Telemetry
from tests.support.fake_triton import FakeTriton, fake_triton, hanging, passing, refusing
from tests.support.fake_triton_play import MIB, ask, own_regions, pair, play, ready, reason, until
from tests.support.trivial import write_trivial_model, write_version

needs_shared_memory = pytest.mark.skipif(not FOLDER.is_dir(), reason="no POSIX shared memory here")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root, "pair")
    return root


@pytest.fixture(
    params=[pytest.param(True, marks=needs_shared_memory, id="shared-memory"), pytest.param(False, id="binary")]
)
def share(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def errors(engine: TritonEngine, code: str) -> float:
    return engine._telemetry.registry.get_sample_value("maskgate_triton_errors_total", {"reason": code}) or 0.0


def test_each_tile_is_a_request_and_all_go_at_once(models: Path, share: bool) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        everyone = asyncio.Barrier(6)

        async def wait_for_all(request: Any, context: Any) -> None:
            await everyone.wait()

        fake.hook = wait_for_all
        await ask(engine, pair(engine), items=6)
        assert fake.most_under_way == 6

    play(models, scenario, share)


def test_bytes_under_way_are_bounded(models: Path, share: bool) -> None:
    tile = 2 * 64 * 64 * 3 + 64 * 64

    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        async def wait(request: Any, context: Any) -> None:
            await asyncio.sleep(0.01)

        fake.hook = wait
        await asyncio.gather(*(ask(engine, pair(engine), items=4, seed=seed) for seed in range(4)))
        assert fake.most_under_way == 2

    play(models, scenario, share, inflight_bytes=2 * tile + 1)


def test_a_slow_server_is_an_error_in_time_and_told_to_stop(models: Path, share: bool) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        fake.hook = hanging
        with pytest.raises(DeadlineExceeded):
            await ask(engine, model, items=3, seconds=0.3)
        await until(lambda: fake.under_way == 0)
        assert fake.cancelled == 3
        assert 0 < fake.requests[-1].parameters["timeout"].int64_param <= 300_000
        assert errors(engine, "deadline-exceeded") > 0
        assert ready(engine), "slowness alone takes no model away"

    play(models, scenario, share)


def test_a_caller_who_leaves_takes_the_request_along(models: Path, share: bool) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        fake.hook = hanging
        asking = asyncio.create_task(ask(engine, model, items=2))
        await until(lambda: fake.under_way == 2)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await until(lambda: fake.cancelled == 2)
        assert ready(engine)

    play(models, scenario, share)


@needs_shared_memory
def test_a_late_writer_never_reaches_another_request(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        late: list[Any] = []

        async def remember(request: Any, context: Any) -> None:
            late.append(fake.regions[request.inputs[0].parameters["shared_memory_region"].string_param])
            await hanging(request, context)

        fake.hook = remember
        with pytest.raises(DeadlineExceeded):
            await ask(engine, model, seconds=0.2)

        async def scribble(request: Any, context: Any) -> None:
            late[0][:] = bytes(len(late[0]))

        fake.hook = scribble
        await asyncio.gather(*(ask(engine, model, seed=seed) for seed in range(1, 9)))

    play(models, scenario)


@needs_shared_memory
def test_what_a_region_held_before_is_never_taken_for_an_answer(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        await ask(engine, model, items=3, seed=1)
        fake.writes = False
        with pytest.raises(ModelNotReady, match="did not arrive"):
            await ask(engine, model, items=3, seed=2)
        await until(lambda: "did not arrive" in reason(engine))
        fake.writes = True
        await until(lambda: ready(engine))
        await ask(engine, model, items=3, seed=2)

    play(models, scenario)


def test_a_full_queue_is_overload_and_the_model_stays(models: Path, share: bool) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        fake.hook = refusing(grpc.StatusCode.UNAVAILABLE, "[request id: <id_unknown>] Exceeds maximum queue size")
        with pytest.raises(Overloaded) as refused:
            await ask(engine, model)
        assert refused.value.retry_after == 1
        assert ready(engine)

    play(models, scenario, share)


def test_a_request_that_waited_too_long_in_the_queue_is_late(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        fake.hook = refusing(grpc.StatusCode.UNAVAILABLE, "Request timeout expired")
        with pytest.raises(DeadlineExceeded):
            await ask(engine, model)

    play(models, scenario)


def test_a_server_that_vanished_is_refused_quickly_and_found_when_it_is_back(models: Path, share: bool) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        await fake.stop()
        with pytest.raises(ModelNotReady) as refused:
            await ask(engine, model)
        assert refused.value.retry_after == 1
        assert not ready(engine)
        seen = len(fake.requests)
        with pytest.raises(ModelNotReady):
            choose(engine, "damage", "pair")
        with pytest.raises(ModelNotReady):
            await ask(engine, model)
        await fake.start()
        await until(lambda: ready(engine))
        assert len(fake.requests) == seen + 1, "one probe, and nothing else, went through"
        await ask(engine, pair(engine), items=3)

    play(models, scenario, share)


def test_an_idle_gateway_notices_that_the_server_vanished(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        await fake.stop()
        await until(lambda: not ready(engine))
        assert reason(engine) == f"Triton does not answer at {fake.url}"
        await fake.start()
        await until(lambda: ready(engine))

    play(models, scenario)


def test_a_server_that_comes_later_is_found(models: Path) -> None:
    async def run() -> None:
        async with fake_triton(models) as fake:
            await fake.stop()
            engine = TritonEngine(models, fake.url, True, MIB, Telemetry())
            await engine.start()
            assert not ready(engine)
            await fake.start()
            await until(lambda: ready(engine))
            await ask(engine, pair(engine))
            await engine.close()

    asyncio.run(run())


@needs_shared_memory
def test_regions_are_registered_again_with_a_server_that_forgot_them(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        await ask(engine, model, items=3)
        fake.regions.clear()
        await asyncio.gather(*(ask(engine, model, items=3, seed=seed) for seed in range(4)))

    play(models, scenario)


@needs_shared_memory
@pytest.mark.parametrize(
    ("trait", "value"),
    [
        pytest.param("shares_memory", False, id="cannot map ours"),
        pytest.param("version", "2.49.0", id="unmaps what it still writes to"),
        pytest.param("version", "", id="does not say which it is"),
    ],
)
def test_a_server_that_memory_cannot_be_shared_with_gets_bytes(models: Path, trait: str, value: object) -> None:
    async def run() -> None:
        async with fake_triton(models) as fake:
            setattr(fake, trait, value)
            engine = TritonEngine(models, fake.url, True, MIB, Telemetry())
            await engine.start()
            assert engine.transport == "binary"
            await ask(engine, pair(engine), items=3)
            await engine.close()
        assert own_regions() == []

    asyncio.run(run())


@needs_shared_memory
def test_a_tile_travels_as_bytes_where_shared_memory_runs_short(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        assert engine.transport == "shared-memory"

        def no_space(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", no_space)
        await ask(engine, pair(engine), items=3)
        assert any(request.raw_input_contents for request in fake.requests)

    play(models, scenario)


def test_a_model_that_keeps_failing_is_taken_away_until_it_answers_again(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        model = pair(engine)
        fake.hook = refusing(grpc.StatusCode.INTERNAL, "CUDA error at secret/path.cc:42")
        for _ in range(5):
            with pytest.raises(Internal) as failed:
                await ask(engine, model)
            assert "secret" not in failed.value.detail
        assert not ready(engine)
        with pytest.raises(ModelNotReady):
            await ask(engine, model)
        fake.hook = refusing(grpc.StatusCode.INTERNAL, "still broken")
        await until(lambda: "tile of zeros" in reason(engine))
        fake.hook = passing
        await until(lambda: ready(engine))
        await ask(engine, model)

    play(models, scenario)


def test_a_model_whose_process_is_lost_is_unready_until_it_was_unloaded_and_loaded(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        async def lost(request: Any, context: grpc.aio.ServicerContext) -> None:
            if not fake.unloads:
                await context.abort(grpc.StatusCode.INTERNAL, "Stub process 'pair_0_0' is not healthy.")

        fake.hook = lost
        with pytest.raises(ModelNotReady) as refused:
            await ask(engine, pair(engine))
        assert refused.value.retry_after == 1
        assert not ready(engine)
        await until(lambda: ready(engine))
        assert (fake.unloads, fake.loads) == (["pair"], ["pair", "pair"])
        await ask(engine, pair(engine))

    play(models, scenario)


def test_what_a_process_that_was_lost_still_owed_does_not_take_the_next_one_away(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        lose = asyncio.Event()

        async def late(request: Any, context: grpc.aio.ServicerContext) -> None:
            await lose.wait()
            await context.abort(grpc.StatusCode.INTERNAL, "Stub process 'pair_0_0' is not healthy.")

        fake.hook = late
        owed = asyncio.create_task(ask(engine, pair(engine)))
        await until(lambda: fake.under_way == 1)
        fake.hook = refusing(grpc.StatusCode.INTERNAL, "Stub process 'pair_0_0' is not healthy.")
        with pytest.raises(ModelNotReady):
            await ask(engine, pair(engine))
        assert not ready(engine)
        fake.hook = passing
        await until(lambda: ready(engine))
        lose.set()
        with pytest.raises(ModelNotReady):
            await owed
        assert ready(engine)
        assert fake.unloads == ["pair"]

    play(models, scenario)


def test_a_model_that_is_unloaded_is_not_ready(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        fake.loaded = False
        await until(lambda: not ready(engine))
        assert reason(engine) == "Triton has not loaded version 1; its log says why"
        fake.loaded = True
        await until(lambda: ready(engine))

    play(models, scenario)


def test_a_server_that_is_back_is_told_again_what_to_load(models: Path) -> None:
    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        await engine.refresh()
        assert fake.loads == ["pair"], "nothing has changed since the start"
        await fake.stop()
        await until(lambda: not ready(engine))
        await fake.start()
        await until(lambda: ready(engine))
        assert fake.loads == ["pair", "pair"]

    play(models, scenario)


def test_a_server_that_loads_nothing_on_request_goes_on_with_what_it_has(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "pair")

    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        began = pair(engine)
        fake.loads_on_request = False
        write_version(folder, 1, shift=1)
        result = await engine.refresh()
        former = "still serving its former form, since Triton loads nothing on request"
        assert (result.changed, result.failed) == ((), {"pair": f"version 1: {former}"})
        assert pair(engine).digest == began.digest
        await ask(engine, began)

    play(tmp_path, scenario)


def test_an_answer_that_a_replaced_file_may_have_given_is_not_passed_on(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "pair")

    async def scenario(fake: FakeTriton, engine: TritonEngine) -> None:
        began, go = pair(engine), asyncio.Event()

        async def wait(request: Any, context: Any) -> None:
            await go.wait()

        fake.hook = wait
        asking = asyncio.create_task(ask(engine, began))
        await until(lambda: fake.under_way == 1)
        write_version(folder, 1, shift=1)
        refreshing = asyncio.create_task(engine.refresh())
        await until(lambda: fake.under_way == 2)
        go.set()
        with pytest.raises(ModelNotReady, match="replaced"):
            await asking
        assert (await refreshing).changed == ("pair",)
        with pytest.raises(ModelNotReady):
            await ask(engine, began)

    play(tmp_path, scenario)


def test_a_server_with_another_model_of_the_name_is_named(models: Path, tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "pair", max_batch_size=4)

    async def run() -> None:
        async with fake_triton(tmp_path) as fake:
            engine = TritonEngine(models, fake.url, True, MIB, Telemetry())
            await engine.start()
            assert reason(engine) == "Triton says max_batch_size 4, the card 8"
            await engine.close()

    asyncio.run(run())


@needs_shared_memory
def test_regions_of_a_process_that_was_killed_are_swept_and_those_of_the_living_are_not() -> None:
    code = (
        "import sys, time; from gateway.engines.triton.shared_memory import Region;"
        "print(Region(4096).name, flush=True); time.sleep(60)"
    )
    mine = Region(4096)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = FOLDER / other.stdout.readline().strip()
        sweep_dead()
        assert theirs.is_file()
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert theirs.is_file()
        sweep_dead()
        assert not theirs.exists()
        assert own_regions() == [mine.name]
    mine.close()
    assert own_regions() == []
