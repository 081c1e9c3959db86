"""Turns, threads and deadlines."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gateway.errors import DeadlineExceeded, Overloaded
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import LanedThreads, Workers, answering_lack_of_memory


def test_work_runs_off_the_loop_and_is_timed() -> None:
    async def scenario() -> tuple[str, Timeline]:
        workers, timeline = Workers(Threads("worker", 1)), Timeline(10)
        name = await workers.run(timeline, "decode", lambda: threading.current_thread().name)
        workers.close()
        return name, timeline

    name, timeline = asyncio.run(scenario())
    assert name.startswith("worker")
    assert set(timeline.seconds) == {"decode"}
    assert timeline.server_timing().startswith("decode;dur=")


def test_nothing_starts_after_the_deadline() -> None:
    async def scenario() -> None:
        workers, timeline = Workers(Threads("worker", 1)), Timeline(0.001)
        time.sleep(0.002)  # noqa: ASYNC251 - the deadline must pass, and nothing else runs on this loop
        with pytest.raises(DeadlineExceeded):
            await workers.run(timeline, "decode", pytest.fail)
        workers.close()

    asyncio.run(scenario())


def test_stages_add_up_in_their_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    timeline = Timeline(10)
    with timeline.measure("encode"):
        now = 1.0
    with timeline.measure("decode"):
        now = 3.0
    with timeline.measure("encode"):
        now = 6.0
    assert timeline.server_timing() == "decode;dur=2000.00, encode;dur=4000.00"


def test_overlapping_steps_of_a_stage_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    timeline = Timeline(10)
    with timeline.measure("decode"):
        now = 2.0
        with timeline.measure("decode"):
            now = 5.0
    assert timeline.seconds == {"decode": 5.0}


def test_who_is_cancelled_goes_on_when_the_thread_is_through() -> None:
    async def scenario() -> list[str]:
        workers, events = Workers(Threads("worker", 1)), list[str]()
        begun = threading.Event()

        def work() -> None:
            begun.set()
            time.sleep(0.05)
            events.append("through")

        async def caller() -> None:
            try:
                await workers.run_to_end(Timeline(10), "decode", work)
            finally:
                events.append("given back")

        task = asyncio.create_task(caller())
        await asyncio.to_thread(begun.wait)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await task
        workers.close()
        return events

    assert asyncio.run(scenario()) == ["through", "given back"]


def test_a_deadline_can_be_brought_forward_and_not_put_off() -> None:
    timeline = Timeline(100)
    timeline.curtail(10)
    assert timeline.remaining() < 11
    timeline.curtail(50)
    assert timeline.remaining() < 11
    assert timeline.allowed == 10


def test_an_emergency_finds_a_thread_where_all_are_taken() -> None:
    async def scenario() -> tuple[str, str]:
        workers = Workers(LanedThreads("worker", 2, Telemetry()))
        bulk, emergency = Timeline(60), Timeline(60, "emergency")
        free = await workers.run(emergency, "decode", lambda: threading.current_thread().name)
        ended = threading.Event()
        long = [asyncio.create_task(workers.run(bulk, "decode", ended.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(30):
                taken = await workers.run(emergency, "decode", lambda: threading.current_thread().name)
        finally:
            ended.set()
            await asyncio.gather(*long)
            workers.close()
        return free, taken

    free, taken = asyncio.run(scenario())
    assert free.startswith("worker_")
    assert taken.startswith("worker-emergency")


def test_the_kept_thread_is_for_nobody_else() -> None:
    async def scenario() -> None:
        threads, ended = LanedThreads("lane", 1, Telemetry()), threading.Event()
        running = [asyncio.create_task(threads.of("bulk").call(ended.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        assert threads.of("bulk") is not threads.of("emergency")
        ended.set()
        assert all(await asyncio.gather(*running))
        threads.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), Overloaded),
        (RuntimeError("Failed to allocate memory for requested buffer of size 1"), Overloaded),
        (RuntimeError("another"), RuntimeError),
        (ValueError("Failed to allocate memory"), ValueError),
    ],
)
def test_a_library_that_is_given_no_memory_is_told_from_one_that_fails(error: Exception, told: type[Exception]) -> None:
    """ONNX Runtime raises a bare RuntimeError where outputs are bound beforehand."""
    with pytest.raises(told), answering_lack_of_memory():
        raise error
