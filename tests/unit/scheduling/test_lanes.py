"""Who is next of two lanes, and turns that are never lost."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.scheduling.lanes import LANES, Lane, Lanes, Turns

lanes = st.sampled_from(LANES)


@given(st.integers(2, 12), st.lists(st.tuples(lanes, st.booleans()), max_size=200))
def test_order_within_a_lane_and_bulks_share_while_both_wait(bulk_every: int, steps: list[tuple[Lane, bool]]) -> None:
    line: Lanes[int] = Lanes(bulk_every)
    model: dict[Lane, deque[int]] = {lane: deque() for lane in LANES}
    overtaken = 0
    for number, (lane, comes) in enumerate(steps):
        if comes:
            line.add(lane, number)
            model[lane].append(number)
            continue
        both = all(model.values())
        one = line.pop()
        if one is None:
            assert not any(model.values())
            continue
        given_to: Lane = "emergency" if model["emergency"] and model["emergency"][0] == one else "bulk"
        assert model[given_to].popleft() == one
        # An emergency is passed over only where as many of them had gone before waiting bulk as the setting says.
        if both and given_to == "bulk":
            assert overtaken == bulk_every - 1
        overtaken = overtaken + 1 if both and given_to == "emergency" else 0
        assert overtaken < bulk_every
    assert {lane: line.waiting(lane) for lane in LANES} == {lane: len(model[lane]) for lane in LANES}


@given(st.integers(2, 12))
def test_while_both_lanes_always_wait_bulk_has_exactly_its_share(bulk_every: int) -> None:
    line: Lanes[tuple[Lane, int]] = Lanes(bulk_every)
    rounds = 5 * bulk_every
    for lane in LANES:
        for number in range(rounds):
            line.add(lane, (lane, number))
    order = [line.pop() for _ in range(rounds)]
    assert [place for place, one in enumerate(order, 1) if one and one[0] == "bulk"] == [
        bulk_every * n for n in range(1, 6)
    ]


def test_who_comes_first_and_who_leaves() -> None:
    line: Lanes[str] = Lanes(10)
    for one in "abc":
        line.add("bulk", one)
    line.add_first("bulk", "first")
    line.discard("bulk", "b")
    line.discard("bulk", "nobody")
    assert [line.pop() for _ in range(4)] == ["first", "a", "c", None]


class TurnsOfCallers(RuleBasedStateMachine):
    """Callers who take turns, leave while they wait, pass turns on, lend them, and give them back."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.turns = Turns(2, 3, extra=1)
        self.holding: list[Lane] = []
        self.waiting: list[tuple[Lane, asyncio.Task[None]]] = []

    def settle(self) -> None:
        async def some_rounds() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(some_rounds())
        for lane, task in [one for one in self.waiting if one[1].done()]:
            self.waiting.remove((lane, task))
            if not task.cancelled():
                self.holding.append(lane)

    @rule(lane=lanes, again=st.booleans())
    def take(self, lane: Lane, again: bool) -> None:
        step = self.turns.take_again if again else self.turns.take
        self.waiting.append((lane, self.loop.create_task(step(lane))))
        self.settle()

    @rule(place=st.integers(0, 9), lend=st.booleans())
    def pass_on(self, place: int, lend: bool) -> None:
        if self.holding:
            lane = self.holding.pop(place % len(self.holding))
            step = self.turns.lend if lend else self.turns.pass_on
            self.waiting.append((lane, self.loop.create_task(step(lane))))
            self.settle()

    @rule(place=st.integers(0, 9))
    def leave(self, place: int) -> None:
        if self.waiting:
            self.waiting[place % len(self.waiting)][1].cancel()
            self.settle()

    @rule(place=st.integers(0, 9), leaver=st.integers(0, 9))
    def give_back_while_another_leaves(self, place: int, leaver: int) -> None:
        """The one who is next may be told of its turn and cancelled at once."""
        if self.holding:
            self.holding.pop(place % len(self.holding))
            self.turns.give_back()
            if self.waiting:
                self.waiting[leaver % len(self.waiting)][1].cancel()
            self.settle()

    @invariant()
    def no_turn_is_lost_or_made(self) -> None:
        assert self.turns.free == 2 - len(self.holding)
        assert len(self.holding) <= 3
        assert not self.waiting or len(self.holding) >= 2
        assert not self.turns.waiting("emergency") or len(self.holding) == 3
        assert sum(self.turns.waiting(lane) for lane in LANES) == len(self.waiting)

    def teardown(self) -> None:
        for _, task in self.waiting:
            task.cancel()
        self.settle()
        self.loop.close()


TestTurns = TurnsOfCallers.TestCase


def test_a_turn_passed_on_comes_back_when_nobody_waits() -> None:
    async def scenario() -> None:
        turns = Turns(1, 10)
        await turns.take("bulk")
        await asyncio.wait_for(turns.pass_on("bulk"), 1)
        await asyncio.wait_for(turns.lend("emergency"), 1)
        turns.give_back()
        await asyncio.wait_for(turns.take("bulk"), 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(("step", "expected"), [("pass_on", "next long"), ("lend", "long next")])
def test_who_passes_a_turn_on_waits_last_and_who_lends_it_first(step: str, expected: str) -> None:
    async def scenario() -> list[str]:
        turns, order = Turns(1, 10), list[str]()
        await turns.take("bulk")

        async def another() -> None:
            await turns.take("bulk")
            order.append("next")
            turns.give_back()

        task = asyncio.create_task(another())
        await asyncio.sleep(0)
        await getattr(turns, step)("bulk")
        order.append("long")
        turns.give_back()
        await task
        return order

    assert " ".join(asyncio.run(scenario())) == expected


def test_an_emergency_begins_beyond_the_turns_and_bulk_waits_until_it_ends() -> None:
    async def scenario() -> None:
        turns = Turns(1, 10, extra=1)
        await turns.take("bulk")
        await asyncio.wait_for(turns.take("emergency"), 1)
        assert turns.free == -1
        waiting = [asyncio.create_task(turns.take(lane)) for lane in ("bulk", "emergency")]
        await asyncio.sleep(0)
        turns.give_back()
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [False, True]
        turns.give_back()
        await asyncio.sleep(0)
        assert not waiting[0].done()
        turns.give_back()
        await asyncio.wait_for(waiting[0], 1)
        assert turns.free == 0

    asyncio.run(scenario())


def test_bulk_has_its_share_of_the_turns_beyond_too() -> None:
    """Else emergencies that never end would hold one more than there are, and nobody else ever one."""

    async def scenario() -> list[Lane]:
        turns, order = Turns(1, 3, extra=1), list[Lane]()
        for _ in range(2):
            await turns.take("emergency")

        async def one(lane: Lane) -> None:
            await turns.take(lane)
            order.append(lane)

        tasks = [asyncio.create_task(one(lane)) for lane in ("bulk", "bulk", *["emergency"] * 9)]  # type: ignore[arg-type]
        for _ in range(9):
            await asyncio.sleep(0)
            turns.give_back()
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return order

    assert [place for place, lane in enumerate(asyncio.run(scenario()), 1) if lane == "bulk"] == [3, 6]
