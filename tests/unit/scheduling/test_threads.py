"""Calls that threads compute for coroutines: what they return, raise and hold, and who waits no more."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import MeteredThreads, Threads


class Held:
    """What a thread is handed."""


def ran(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


def test_calls_run_side_by_side_in_as_many_threads_as_there_may_be() -> None:
    async def scenario() -> None:
        threads, met = Threads("worker", 2), threading.Barrier(2)
        names = await asyncio.gather(
            *(threads.call(lambda: (met.wait(20), threading.current_thread().name)[1]) for _ in "ab")
        )
        assert sorted(names) == ["worker_0", "worker_1"]
        more = await asyncio.gather(*(threads.call(lambda: threading.current_thread().name) for _ in range(20)))
        assert set(more) <= set(names)
        assert threads.pending == 0
        threads.close()

    ran(scenario())


def test_no_thread_is_begun_before_it_is_needed() -> None:
    async def scenario() -> None:
        threads = Threads("single", 8)
        assert {await threads.call(lambda: threading.current_thread().name) for _ in range(5)} == {"single_0"}
        threads.close()

    ran(scenario())


def test_what_a_call_raises_reaches_who_waits() -> None:
    def fail(word: str) -> None:
        raise ValueError(word)

    async def scenario() -> None:
        threads = Threads("worker", 1)
        with pytest.raises(ValueError, match="so it is"):
            await threads.call(fail, "so it is")
        assert await threads.call(len, "abc") == 3
        threads.close()

    ran(scenario())


def test_who_is_cancelled_before_its_call_begins_has_it_left_out() -> None:
    async def scenario() -> None:
        threads, ended, called = Threads("worker", 1), threading.Event(), list[str]()
        running = asyncio.create_task(threads.call(ended.wait))
        waiting = asyncio.create_task(threads.call(called.append, "in vain"))
        await asyncio.sleep(0)
        assert threads.pending == 2
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        # A thread that computes for nobody is taken all the same.
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert threads.pending == 2
        ended.set()
        await threads.call(called.append, "next")
        assert called == ["next"]
        assert threads.pending == 0
        threads.close()

    ran(scenario())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_closing_lets_running_calls_end_and_cancels_those_that_wait(elsewhere: bool) -> None:
    async def scenario() -> None:
        threads, begun, ended = Threads("worker", 1), threading.Event(), threading.Event()

        def work() -> str:
            begun.set()
            ended.wait(20)
            return "through"

        running = asyncio.create_task(threads.call(work))
        waiting = asyncio.create_task(threads.call(len, "abc"))
        await asyncio.to_thread(begun.wait)
        threading.Timer(0.05, ended.set).start()
        if elsewhere:
            await asyncio.to_thread(threads.close)
        else:
            threads.close()
        assert await running == "through"
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RuntimeError, match="ended"):
            await threads.call(len, "abc")

    ran(scenario())


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_held_of_a_call_that_has_ended(fails: bool) -> None:
    """Images are large; what held them until the next call, or until somebody collects cycles, would add up."""

    def work(held: Held) -> Held:
        if fails:
            raise ValueError
        return held

    async def call(threads: Threads) -> weakref.ref[Held]:
        held = Held()
        with suppress(ValueError):
            await threads.call(work, held)
        return weakref.ref(held)

    async def scenario() -> None:
        threads = Threads("worker", 1)
        held = await call(threads)
        for _ in range(1000):
            if held() is None:
                break
            await asyncio.sleep(0.01)
        assert held() is None
        threads.close()

    gc.disable()
    try:
        ran(scenario())
    finally:
        gc.enable()


def test_waits_and_work_are_measured() -> None:
    async def scenario() -> None:
        telemetry = Telemetry()
        threads = MeteredThreads("store", 3, telemetry)
        assert await threads.call(len, "abc") == 3
        threads.close()
        told = telemetry.registry.get_sample_value
        assert told("maskgate_pool_threads", {"pool": "store"}) == 3
        assert told("maskgate_pool_wait_seconds_count", {"pool": "store"}) == 1

    ran(scenario())
