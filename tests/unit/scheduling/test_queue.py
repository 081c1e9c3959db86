"""Who waits how long, who is shed, and how long work lets others in, in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.errors import DeadlineExceeded, WouldBeLate
from gateway.observability.metrics import Telemetry
from gateway.scheduling.lanes import LANES, Lane, Turns
from gateway.scheduling.prices import Price
from gateway.scheduling.queue import Queue
from gateway.scheduling.timeline import Timeline
from tests.support.virtual_time import run_virtually

Scenario = Callable[[], Coroutine[Any, Any, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], Any]:
    return lambda scenario: run_virtually(monkeypatch, scenario)


def new_queue(turns: int = 1, turn_seconds: float = 5, bulk_every: int = 10) -> Queue:
    return Queue(Turns(turns, bulk_every), turn_seconds, Telemetry(), lambda: time.monotonic())


async def serve(queue: Queue, seconds: float, lane: Lane = "bulk", allowed: float = 1000, steps: int = 1) -> float:
    """Work for so long in so many steps, as predicted, and return when that was done."""
    timeline = Timeline(allowed, lane)
    with queue.expect(timeline, Price(seconds, seconds)) as ticket:
        async with ticket.turn():
            for _ in range(steps):
                await timeline.breathe()
                await asyncio.sleep(seconds / steps)
        return time.monotonic()


def begin(*requests: Coroutine[Any, Any, float]) -> list[asyncio.Task[float]]:
    return [asyncio.create_task(request) for request in requests]


def queued(queue: Queue, lane: Lane) -> float | None:
    return queue.telemetry.registry.get_sample_value("maskgate_queued_work_seconds", {"lane": lane})


def test_the_wait_is_the_work_before_a_newcomer_over_the_turns(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turns=2)
        assert queue.wait("bulk") == 0
        tasks = begin(*(serve(queue, 2) for _ in range(6)), *(serve(queue, 3, "emergency") for _ in range(2)))
        await asyncio.sleep(0.5)
        # Two have 1.5 seconds left, four of 2 and two of 3 wait.
        assert queue.wait("bulk") == pytest.approx((2 * 1.5 + 4 * 2 + 2 * 3) / 2)
        assert queue.wait("emergency") == pytest.approx(2 * 3 / 2)
        assert (queued(queue, "bulk"), queued(queue, "emergency")) == (8, 6)
        assert queue.retry_after("bulk") == 9
        assert queue.retry_after("bulk", spare=5.2) == 4
        assert queue.retry_after("bulk", spare=1000) == 1
        await asyncio.gather(*tasks)
        assert queue.wait("bulk") == 0
        assert {queued(queue, lane) for lane in LANES} == {0}

    run(scenario)


def test_bodies_that_still_arrive_are_reckoned_with(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turns=2)
        with queue.expect(Timeline(60), Price(3, 3)):
            assert queue.wait("bulk") == 0
            with queue.expect(Timeline(60), Price(1, 1)) as ticket:
                assert queue.wait("bulk") == 2
                ticket.expect(Price(2, 2))
                assert queue.wait("bulk") == 2.5
                assert queue.wait("emergency") == 0
        assert queue.wait("bulk") == 0

    run(scenario)


def test_long_work_counts_for_no_more_than_its_slice(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turn_seconds=5)
        with queue.expect(Timeline(1e6), Price(10_000, 20_000)):
            assert queue.wait("bulk") == 5

    run(scenario)


def test_emergencies_go_first_and_the_rest_in_order(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> list[str]:
        queue, order = new_queue(), list[str]()

        async def one(name: str, lane: Lane) -> None:
            await serve(queue, 1, lane)
            order.append(name)

        await asyncio.gather(*(one(f"b{n}", "bulk") for n in range(3)), *(one(f"e{n}", "emergency") for n in range(3)))
        return order

    assert run(scenario) == ["b0", "e0", "e1", "e2", "b1", "b2"]


def test_what_would_be_late_is_shed_as_soon_as_that_is_sure(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue()
        (first,) = begin(serve(queue, 4))
        await asyncio.sleep(0)
        with pytest.raises(WouldBeLate) as refusal:
            await serve(queue, 2, allowed=5)
        assert time.monotonic() == pytest.approx(3)
        assert refusal.value.retry_after == 1
        assert queue.telemetry.registry.get_sample_value("maskgate_shed_total", {"lane": "bulk"}) == 1
        assert await first == pytest.approx(4)
        # No turn was lost.
        assert await serve(queue, 1) == pytest.approx(5)

    run(scenario)


def test_what_turns_out_too_long_at_its_turn_is_shed_before_it_is_done(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue()
        with queue.expect(Timeline(10), Price()) as ticket, pytest.raises(WouldBeLate):
            async with ticket.turn():
                ticket.expect(Price(11, 11))
        assert await serve(queue, 1) == pytest.approx(1)

    run(scenario)


def test_a_free_turn_is_taken_by_what_may_just_be_done_in_time(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue()
        with queue.expect(Timeline(10), Price(8, 16)) as ticket:
            async with ticket.turn():
                # Once it waits behind others, that is too little.
                with queue.expect(Timeline(10), Price(8, 16)) as another, pytest.raises(WouldBeLate):
                    async with another.turn():
                        pytest.fail("two turns at once")

    run(scenario)


def test_what_is_over_its_time_is_not_called_overload(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue()
        with queue.expect(Timeline(1), Price()) as ticket:
            await asyncio.sleep(2)
            with pytest.raises(DeadlineExceeded):
                async with ticket.turn():
                    pytest.fail("worked on")

    run(scenario)


def test_long_bulk_work_lets_an_emergency_in_at_its_next_step(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turn_seconds=1000)
        long, short = begin(serve(queue, 100, steps=50), serve(queue, 3))
        await asyncio.sleep(11)
        # The step that runs ends at 12, the emergency is done at 13, and the work goes on before the other bulk.
        assert await serve(queue, 1, "emergency") == pytest.approx(13)
        assert await long == pytest.approx(101)
        assert await short == pytest.approx(104)

    run(scenario)


def test_long_work_lets_others_of_its_lane_in_after_a_slice(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turn_seconds=4.9)
        long, one, two = begin(serve(queue, 20, steps=20), serve(queue, 2), serve(queue, 2))
        assert await one == pytest.approx(7)
        assert await two == pytest.approx(9)
        assert await long == pytest.approx(24)

    run(scenario)


def test_two_long_ones_share_a_turn_by_slices(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turn_seconds=4.9)
        first, second = begin(serve(queue, 20, steps=20), serve(queue, 20, steps=20))
        assert await first == pytest.approx(35)
        assert await second == pytest.approx(40)

    run(scenario)


def test_long_emergencies_leave_bulk_its_share(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turn_seconds=0.9, bulk_every=4)
        long, bulk = begin(serve(queue, 20, "emergency", steps=20), serve(queue, 1))
        assert await bulk == pytest.approx(5)
        assert await long == pytest.approx(21)

    run(scenario)


def test_steps_side_by_side_pause_together(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> list[float]:
        queue, ended = new_queue(), list[float]()
        timeline = Timeline(100)

        async def step() -> None:
            await timeline.breathe()
            ended.append(time.monotonic())

        with queue.expect(timeline, Price(1, 1)) as ticket:
            async with ticket.turn():
                tasks = begin(serve(queue, 3, "emergency"))
                await timeline.breathe()
                await asyncio.sleep(0)
                await asyncio.gather(step(), step(), step())
                await asyncio.gather(*tasks)
        assert timeline.seconds["queue"] == pytest.approx(3)
        return ended

    assert run(scenario) == pytest.approx([3, 3, 3])


def test_who_is_cancelled_while_it_lets_others_in_loses_no_turn(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue()
        (long,) = begin(serve(queue, 10, steps=10))
        await asyncio.sleep(0.5)
        (urgent,) = begin(serve(queue, 5, "emergency"))
        await asyncio.sleep(2)
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        assert queue.wait("bulk") == pytest.approx(3.5)
        await urgent
        assert queue.turns.free == 1
        assert {queued(queue, lane) for lane in LANES} == {0}

    run(scenario)


def test_a_deadline_holds_while_others_are_let_in(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue()
        (long,) = begin(serve(queue, 10, steps=10, allowed=12))
        await asyncio.sleep(0.5)
        (urgent,) = begin(serve(queue, 50, "emergency"))
        with pytest.raises(DeadlineExceeded):
            await long
        assert await urgent == pytest.approx(51)

    run(scenario)


def test_a_second_turn_goes_before_those_who_have_not_begun(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue()
        with queue.expect(Timeline(100), Price(1, 1)) as ticket:
            async with ticket.turn():
                await asyncio.sleep(1)
            one, two = begin(serve(queue, 2), serve(queue, 2))
            await asyncio.sleep(0.5)
            # Meanwhile it still counts as one that is worked on.
            assert queue.wait("bulk") == pytest.approx(1.5 + 2)
            async with ticket.turn():
                assert time.monotonic() == pytest.approx(3)
            assert await one == pytest.approx(3)
        assert await two == pytest.approx(5)

    run(scenario)


def test_long_bulk_work_pauses_while_an_emergency_runs_beyond_the_turns(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = Queue(Turns(1, 10, extra=1), 1000, Telemetry(), lambda: time.monotonic())
        (long,) = begin(serve(queue, 20, steps=10))
        await asyncio.sleep(5)
        # It begins at once; the step that runs meanwhile ends at 6, and the next begins when the emergency is done.
        assert await serve(queue, 7, "emergency") == pytest.approx(12)
        assert await long == pytest.approx(26)

    run(scenario)


def test_work_before_its_time_is_done_in_turns_that_are_free_and_in_the_own_one(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> None:
        queue = new_queue(turns=2)
        with queue.expect(Timeline(1000), Price(1, 1)) as ticket:
            with ticket.spare_turn() as given:
                assert (given, queue.turns.free) == (True, 1)
            assert queue.turns.free == 2
            others = begin(serve(queue, 3), serve(queue, 3))
            await asyncio.sleep(1)
            with ticket.spare_turn() as given:
                assert (given, queue.turns.free) == (False, 0)
            await asyncio.gather(*others)
            async with ticket.turn():
                with ticket.spare_turn() as given:
                    assert (given, queue.turns.free) == (True, 1)
                assert queue.turns.free == 1
            assert queue.turns.free == 2

    run(scenario)


def test_who_waits_gets_a_turn_that_was_lent_for_work_before_its_time(run: Callable[[Scenario], Any]) -> None:
    async def scenario() -> float:
        queue = new_queue(turns=1)
        with queue.expect(Timeline(1000), Price()) as ticket:
            with ticket.spare_turn():
                (other,) = begin(serve(queue, 3))
                await asyncio.sleep(1)
            return await other

    assert run(scenario) == pytest.approx(4)
