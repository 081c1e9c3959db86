"""What requests are predicted to cost."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.scheduling.prices import Kind, Prices

KIND = Kind("task", "model")
HALF_LIFE = 60.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def taught(rates: list[float], clock: Clock | None = None, amount: float = 1000) -> Prices:
    prices = Prices(clock or Clock())
    for rate in rates:
        prices.learn(KIND, "byte", amount, amount * rate)
    return prices


def test_what_is_unknown_costs_nothing() -> None:
    prices = taught([9.0] * 4)
    assert prices.predict(KIND, "byte", 1e12).ample == 0
    prices.learn(KIND, "byte", 1000, 9000)
    assert prices.predict(KIND, "byte", 1000).seconds == pytest.approx(9000)
    for other in (Kind("task", "another"), Kind("another", "model")):
        assert prices.predict(other, "byte", 1e12).ample == 0
    assert prices.predict(KIND, "item", 1e12).ample == 0


def test_nothing_is_learnt_from_nothing() -> None:
    prices = Prices(Clock())
    for _ in range(10):
        prices.learn(KIND, "byte", 0, 1)
        prices.learn(KIND, "byte", 1, 0)
    assert prices.predict(KIND, "byte", 1).seconds == 0


@given(
    st.floats(1e-9, 10),
    st.lists(st.floats(1e3, 1e8), min_size=5, max_size=60),
    st.floats(1, 1e8),
)
def test_the_price_goes_with_the_amount(rate: float, amounts: list[float], asked: float) -> None:
    prices = Prices(Clock())
    for amount in amounts:
        prices.learn(KIND, "byte", amount, amount * rate)
    price = prices.predict(KIND, "byte", asked)
    assert price.seconds == pytest.approx(asked * rate, rel=1e-6)
    assert price.ample == pytest.approx(price.seconds, rel=1e-6)


@given(st.integers(0, 2), st.floats(5, 1000), st.integers(5, 40))
def test_the_first_slow_ones_count_for_nothing(slow: int, factor: float, more: int) -> None:
    prices = taught([factor] * slow + [1.0] * (5 - slow) + [1.0] * more)
    assert prices.predict(KIND, "byte", 1).seconds == pytest.approx(1.0, rel=0.05)


@given(st.lists(st.floats(0.5, 2.0), min_size=20, max_size=60), st.floats(10, 1e6))
def test_a_straggler_moves_the_price_little(rates: list[float], factor: float) -> None:
    prices = taught(rates)
    before = prices.predict(KIND, "byte", 1).seconds
    prices.learn(KIND, "byte", 1000, 1000 * factor)
    after = prices.predict(KIND, "byte", 1).seconds
    assert before < after < 1.5 * before


@given(st.floats(0.05, 20))
def test_a_lasting_change_is_learnt(factor: float) -> None:
    prices = taught([1.0] * 40 + [factor] * 150)
    assert prices.predict(KIND, "byte", 1).seconds == pytest.approx(factor, rel=0.1)


@given(st.lists(st.floats(0.2, 5.0), min_size=6, max_size=80))
def test_what_is_ample_is_never_less_than_the_mean_nor_more_than_twice(rates: list[float]) -> None:
    price = taught(rates).predict(KIND, "byte", 1)
    assert min(rates) * 0.999 <= price.seconds <= max(rates) * 1.001
    assert price.seconds <= price.ample <= 2.001 * price.seconds


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0.5, 2)), min_size=30, max_size=60))
def test_sums_of_many_are_right_whatever_their_sizes(requests: list[tuple[float, float]]) -> None:
    """A small request that takes long for its size is not to make large ones dear."""
    assume(max(amount for amount, _ in requests) > 1e4)
    prices = Prices(Clock())
    for amount, rate in requests:
        prices.learn(KIND, "byte", amount, amount * rate)
    rates = [rate for _, rate in requests]
    assert min(rates) * 0.999 <= prices.predict(KIND, "byte", 1).seconds <= max(rates) * 1.001


def test_what_nothing_confirms_fades_and_is_believed_again_when_confirmed() -> None:
    clock = Clock()
    prices = taught([1.0] * 10, clock)
    clock.now = HALF_LIFE
    assert prices.predict(KIND, "byte", 1).seconds == pytest.approx(0.5)
    clock.now = 20 * HALF_LIFE
    assert prices.predict(KIND, "byte", 1).seconds < 1e-5
    prices.learn(KIND, "byte", 1000, 1000)
    assert prices.predict(KIND, "byte", 1).seconds == pytest.approx(1.0)
