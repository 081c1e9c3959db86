"""What the processes of one gateway count together."""

from __future__ import annotations

import time

import pytest

from gateway.errors import Overloaded
from gateway.observability.place import Place, SharedMemory, tallies
from gateway.observability.shared_metrics import vacate
from tests.support.admitted import admit, new_admission


@pytest.fixture
def places() -> list[Place]:
    memory = SharedMemory.create(3)
    return [Place(number, memory) for number in range(3)]


def test_each_adds_to_its_own_and_sees_the_sum(places: list[Place]) -> None:
    first, second, third = map(tallies, places)
    assert first.bytes.add(5 * 2**32) == 5 * 2**32
    assert second.bytes.add(7) == 5 * 2**32 + 7
    assert (third.bytes.total, third.bytes.own) == (5 * 2**32 + 7, 0)
    assert first.bytes.add(-(5 * 2**32)) == 7
    assert (first.requests.total, first.refreshes.total) == (0, 0)


def test_who_died_holds_nothing(places: list[Place]) -> None:
    first, second, _ = map(tallies, places)
    first.bytes.add(100)
    first.requests.add(1)
    second.bytes.add(20)
    vacate(places[0])
    assert (second.bytes.total, second.requests.total) == (20, 0)
    assert tallies(places[0]).bytes.own == 0


def test_a_beat_is_seen_by_all_until_its_process_is_gone(places: list[Place]) -> None:
    same = Place(1, places[0].memory)
    assert same.beaten == 0
    places[1].beat()
    first = same.beaten
    assert 0 < first <= time.monotonic_ns()
    places[1].beat()
    assert same.beaten > first
    assert places[0].beaten == 0
    vacate(same)
    assert places[1].beaten == 0


def test_memory_of_another_size_is_refused(places: list[Place]) -> None:
    with pytest.raises(ValueError, match="size"):
        SharedMemory(places[0].memory.descriptor, 4)


def test_one_that_is_alone_shares_with_nobody() -> None:
    tallies(None).bytes.add(5)
    assert tallies(None).bytes.total == 0


def test_one_budget_is_for_the_requests_of_all_processes(places: list[Place]) -> None:
    first, second = (new_admission(place=place) for place in places[:2])
    with admit(first) as here:
        here.grow(70)
        with admit(second) as there:
            there.grow(30)
            with pytest.raises(Overloaded):
                here.grow(1)
            with pytest.raises(Overloaded), admit(second):
                pass
        here.grow(30)
    with admit(second) as there:
        there.grow(100)
