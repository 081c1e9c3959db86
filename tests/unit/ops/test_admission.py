"""Bounds on requests and bytes, and what a reservation gives back."""

from __future__ import annotations

import pytest

from gateway.errors import Draining, Overloaded
from gateway.ops.admission import Admission
from gateway.ops.place import tallies
from gateway.ops.telemetry import Telemetry


@pytest.fixture
def admission() -> Admission:
    return Admission(requests=2, budget=100, telemetry=Telemetry(), held=tallies(None))


def held(admission: Admission) -> float | None:
    return admission._telemetry.registry.get_sample_value("maskgate_inflight_bytes")


def test_bytes_are_held_while_the_request_is_and_given_back_after(admission: Admission) -> None:
    with admission.admit() as reservation:
        reservation.grow(60)
        reservation.grow(40)
        assert held(admission) == 100
    assert held(admission) == 0


def test_a_refused_growth_holds_nothing_more(admission: Admission) -> None:
    with admission.admit() as reservation:
        reservation.grow(60)
        with pytest.raises(Overloaded):
            reservation.grow(41)
        assert held(admission) == 60
        reservation.grow(40)
    assert held(admission) == 0


def fail_while_holding(admission: Admission, amount: int) -> None:
    with admission.admit() as reservation:
        reservation.grow(amount)
        raise RuntimeError


def test_bytes_are_given_back_after_an_error(admission: Admission) -> None:
    with pytest.raises(RuntimeError):
        fail_while_holding(admission, 100)
    with admission.admit() as reservation:
        reservation.grow(100)


def test_one_request_too_many(admission: Admission) -> None:
    with admission.admit(), admission.admit(), pytest.raises(Overloaded), admission.admit():
        pytest.fail("three at once")
    with admission.admit():
        pass


def test_retry_after_follows_the_time_requests_take(admission: Admission) -> None:
    def advised() -> int:
        with admission.admit(), admission.admit(), pytest.raises(Overloaded) as refusal, admission.admit():
            pass
        assert refusal.value.retry_after is not None
        return refusal.value.retry_after

    assert advised() == 1
    for _ in range(100):
        admission.served(20)
    assert advised() == 20
    for _ in range(100):
        admission.served(1000)
    assert advised() == 60


def test_draining(admission: Admission) -> None:
    admission.draining = True
    with pytest.raises(Draining), admission.admit():
        pytest.fail("let in")
