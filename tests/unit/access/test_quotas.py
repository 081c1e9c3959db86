"""Quotas on a clock of ours: never more than allowed, never less, and whoever waits as told is served."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.keys import Caller, Limits
from gateway.access.quotas import Account, Quotas
from gateway.errors import QuotaExceeded

SECOND = 10**9


@dataclass
class Clock:
    now: int = 0

    def __call__(self) -> int:
        return self.now


def ask(account: Account) -> bool:
    try:
        with account.request():
            return True
    except QuotaExceeded:
        return False


@given(rate=st.integers(1, 10_000), steps=st.lists(st.integers(0, 90 * SECOND), max_size=60))
def test_in_any_stretch_no_more_than_a_full_bucket_and_what_flowed_in(rate: int, steps: list[int]) -> None:
    clock = Clock()
    account = Account(Limits(requests_per_minute=rate), clock)
    served: list[int] = []
    for step in steps:
        clock.now += step
        served.extend(clock.now for _ in range(3) if ask(account))
    for first, start in enumerate(served):
        for last in range(first, len(served)):
            flowed = (served[last] - start) * rate / (60 * SECOND)
            assert last - first + 1 <= rate + flowed + 1e-6


@given(rate=st.integers(1, 300), waits=st.lists(st.integers(0, 20 * SECOND), max_size=20))
def test_who_waits_as_told_is_served(rate: int, waits: list[int]) -> None:
    clock = Clock()
    account = Account(Limits(requests_per_minute=rate), clock)
    for wait in waits:
        while ask(account):
            pass
        with pytest.raises(QuotaExceeded) as refused, account.request():
            pass
        assert refused.value.retry_after is not None
        assert 1 <= refused.value.retry_after <= 60
        assert refused.value.members == {"violated-policies": ["requests"]}
        clock.now += refused.value.retry_after * SECOND
        assert ask(account)
        clock.now += wait


@given(rate=st.integers(1, 100), idle=st.integers(60, 10**6))
def test_a_caller_who_was_away_has_a_full_bucket_and_no_more(rate: int, idle: int) -> None:
    clock = Clock()
    account = Account(Limits(requests_per_minute=rate), clock)
    for _ in range(2):
        assert [ask(account) for _ in range(rate + 1)] == [True] * rate + [False]
        clock.now += idle * SECOND


def test_those_under_way_are_bounded_and_a_refusal_holds_nothing() -> None:
    clock = Clock()
    account = Account(Limits(inflight=2), clock)
    with ExitStack() as held:
        held.enter_context(account.request())
        with account.request():
            for _ in range(3):
                with pytest.raises(QuotaExceeded) as refused, account.request():
                    pass
            assert refused.value.members == {"violated-policies": ["inflight"]}
            assert refused.value.limit == 2
        assert ask(account)
        clock.now += 100 * SECOND
    assert [ask(account) for _ in range(5)] == [True] * 5


def test_a_request_that_fails_is_under_way_no_more() -> None:
    account = Account(Limits(inflight=1), Clock())
    with pytest.raises(ZeroDivisionError), account.request():
        _ = 1 / 0
    assert ask(account)


def test_how_long_to_wait_for_room_follows_how_long_requests_take() -> None:
    clock = Clock()
    account = Account(Limits(inflight=1), clock)
    for _ in range(50):
        with account.request():
            clock.now += 20 * SECOND
    with account.request(), pytest.raises(QuotaExceeded) as refused, account.request():
        pass
    assert refused.value.retry_after == 20


def test_what_was_given_back_may_be_asked_again_but_never_saved_up() -> None:
    account = Account(Limits(requests_per_minute=2), Clock())
    with account.request():
        account.give_back()
    account.give_back()
    assert [ask(account) for _ in range(3)] == [True, True, False]


def test_headers_say_the_limits_and_what_is_left() -> None:
    clock = Clock()
    account = Account(Limits(requests_per_minute=30, inflight=4), clock)
    assert account.headers() == {
        "RateLimit-Policy": '"requests";q=30;w=60, "inflight";q=4;qu="concurrent-requests"',
        "RateLimit": '"requests";r=30, "inflight";r=4',
    }
    with account.request():
        assert account.headers()["RateLimit"] == '"requests";r=29;t=2, "inflight";r=3'
    clock.now += SECOND
    assert account.headers()["RateLimit"] == '"requests";r=29;t=1, "inflight";r=4'
    assert Account(Limits(), clock).headers() == {}


def test_without_limits_nothing_is_refused() -> None:
    account = Account(Limits(), Clock())
    with ExitStack() as held:
        for _ in range(1000):
            held.enter_context(account.request())


def test_tenants_do_not_share_and_each_keeps_its_own() -> None:
    quotas = Quotas(Clock())
    one, two = Caller("one", limits=Limits(1)), Caller("two", limits=Limits(1))
    assert ask(quotas.of(one))
    assert not ask(quotas.of(one))
    assert quotas.of(two).headers()["RateLimit"] == '"requests";r=1'
    assert ask(quotas.of(two))
