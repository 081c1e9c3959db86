"""Bounds on requests, bytes and predicted work, and what a reservation gives back."""

from __future__ import annotations

import pytest

from gateway.errors import Draining, Overloaded, QueueFull, WouldBeLate
from gateway.scheduling.admission import Admission
from gateway.scheduling.lanes import Lane
from gateway.scheduling.timeline import Timeline
from tests.support.admitted import KIND, admit, new_admission


@pytest.fixture
def admission() -> Admission:
    return new_admission()


def held(admission: Admission) -> float | None:
    return admission._telemetry.registry.get_sample_value("maskgate_inflight_bytes")


def teach(admission: Admission, seconds_per_byte: float) -> None:
    for _ in range(5):
        admission.prices.learn(KIND, "byte", 1, seconds_per_byte)


def test_bytes_are_held_while_the_request_is_and_given_back_after(admission: Admission) -> None:
    with admit(admission) as reservation:
        reservation.grow(60)
        reservation.grow(40)
        assert held(admission) == 100
    assert held(admission) == 0


def test_what_was_let_go_is_given_back_and_never_more(admission: Admission) -> None:
    with admit(admission) as reservation:
        reservation.grow(60)
        reservation.shrink(10)
        assert held(admission) == 10
        reservation.shrink(50)
        assert held(admission) == 10
    assert held(admission) == 0


def test_a_refused_growth_holds_nothing_more(admission: Admission) -> None:
    with admit(admission) as reservation:
        reservation.grow(60)
        with pytest.raises(Overloaded):
            reservation.grow(41)
        assert held(admission) == 60
        reservation.grow(40)
    assert held(admission) == 0


def fail_while_holding(admission: Admission, amount: int) -> None:
    with admit(admission) as reservation:
        reservation.grow(amount)
        raise RuntimeError


def test_bytes_are_given_back_after_an_error(admission: Admission) -> None:
    with pytest.raises(RuntimeError):
        fail_while_holding(admission, 100)
    with admit(admission) as reservation:
        reservation.grow(100)


def test_one_request_too_many(admission: Admission) -> None:
    with admit(admission), admit(admission), pytest.raises(Overloaded), admit(admission):
        pytest.fail("three at once")
    with admit(admission):
        pass


@pytest.mark.parametrize("lane", ["emergency", "bulk"])
def test_the_last_eighth_is_for_emergencies(lane: Lane) -> None:
    bulk = pytest.raises(Overloaded)
    few = new_admission(requests=1, budget=80)
    with admit(few) as reservation:
        reservation.grow(71)
        with pytest.raises(Overloaded), admit(few, lane=lane):
            pytest.fail("one too many")
    roomy = new_admission(requests=8, budget=80)
    with admit(roomy) as reservation:
        reservation.grow(71)
        if lane == "bulk":
            with bulk, admit(roomy):
                pytest.fail("bulk where only emergencies may")
        else:
            with admit(roomy, lane=lane) as urgent:
                urgent.grow(9)
        reservation.shrink(70)
        with admit(roomy):
            pass


def test_who_would_be_late_is_refused_with_when_to_come_back(admission: Admission) -> None:
    teach(admission, 1.0)
    with admit(admission, length=30, seconds=600):
        with admit(admission, length=10, seconds=40):
            pass
        with pytest.raises(WouldBeLate) as refusal, admit(admission, length=10, seconds=32.5):
            pytest.fail("let in")
        assert refusal.value.retry_after == 8
    with pytest.raises(WouldBeLate), admit(admission, length=10, seconds=9):
        pytest.fail("too long by itself")
    with admit(admission, length=10, seconds=10.1):
        pass


def test_an_emergency_is_judged_by_its_own_lane(admission: Admission) -> None:
    teach(admission, 1.0)
    with admit(admission, length=90, lane="bulk"):
        with pytest.raises(WouldBeLate), admit(admission, length=5, seconds=10):
            pytest.fail("let in")
        with admit(admission, length=5, seconds=10, lane="emergency"):
            pass


def test_the_queue_is_bounded() -> None:
    admission = new_admission(requests=10, queue_seconds=60)
    teach(admission, 1.0)
    with admit(admission, length=50), admit(admission, length=40):
        with pytest.raises(QueueFull) as refusal, admit(admission, length=1):
            pytest.fail("let in")
        assert refusal.value.retry_after == 30
        with admit(admission, length=1, lane="emergency"):
            pass


def test_nobody_is_refused_for_what_is_not_known(admission: Admission) -> None:
    with admit(admission, length=10**12, seconds=0.001), admit(admission, length=10**12, seconds=0.001):
        pass


def test_a_body_of_unknown_length_is_priced_when_it_is_there(admission: Admission) -> None:
    teach(admission, 1.0)
    with admit(admission) as reservation:
        assert reservation.ticket.price.seconds == 0
        reservation.grow(30)
        reservation.received()
        assert reservation.ticket.price.seconds == pytest.approx(30)


def test_items_say_more_than_bytes_as_soon_as_they_are_known(admission: Admission) -> None:
    teach(admission, 1.0)
    with admit(admission, length=30) as reservation:
        reservation.expect(4)
        assert reservation.ticket.price.seconds == pytest.approx(30)
    for _ in range(5):
        with admit(admission, length=30) as reservation:
            reservation.grow(30)
            reservation.received()
            reservation.expect(4)
            reservation.served(8)
    with admit(admission, length=30) as reservation:
        reservation.expect(7)
        assert reservation.ticket.price.seconds == pytest.approx(14)
    assert admission.prices.predict(KIND, "byte", 30).seconds < 30


def test_items_that_are_done_before_their_turn_are_not_reckoned_with_again(admission: Admission) -> None:
    for _ in range(5):
        admission.prices.learn(KIND, "item", 1, 2.0)
    with admit(admission) as reservation:
        reservation.expect(10, done=7)
        assert reservation.ticket.price.seconds == pytest.approx(6, rel=0.01)


def test_what_was_inferred_while_the_body_arrived_is_learnt_too(admission: Admission) -> None:
    timeline = Timeline(60)
    timeline.seconds["infer"] = 40.0
    for _ in range(5):
        with admission.admit(KIND, 1, timeline) as reservation:
            reservation.expect(20, done=15)
            with reservation.learning(timeline):
                pass
    assert admission.prices.predict(KIND, "item", 1).seconds == pytest.approx(2, rel=0.01)


def test_draining(admission: Admission) -> None:
    admission.draining = True
    with admit(admission):
        pass
    admission.closed = True
    with pytest.raises(Draining), admit(admission):
        pytest.fail("let in")
