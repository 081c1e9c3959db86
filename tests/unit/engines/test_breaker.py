"""When a model is asked no more, and when it is again."""

from __future__ import annotations

from gateway.engines.triton.breaker import Breaker


def closed(tolerance: int = 3) -> Breaker:
    breaker = Breaker(tolerance)
    breaker.close()
    return breaker


def test_what_was_never_probed_is_not_asked() -> None:
    assert Breaker(3).open


def test_failures_in_a_row_open_it() -> None:
    breaker = closed()
    breaker.fail()
    breaker.fail()
    assert not breaker.open
    breaker.fail()
    assert breaker.open


def test_a_success_between_failures_starts_the_count_anew() -> None:
    breaker = closed()
    for _ in range(5):
        breaker.fail()
        breaker.fail()
        breaker.succeed()
    assert not breaker.open


def test_only_the_probe_closes_it() -> None:
    breaker = closed()
    breaker.trip()
    breaker.succeed()
    assert breaker.open
    breaker.close()
    assert not breaker.open


def test_closing_forgets_the_failures() -> None:
    breaker = closed(tolerance=2)
    breaker.fail()
    breaker.close()
    breaker.fail()
    assert not breaker.open
