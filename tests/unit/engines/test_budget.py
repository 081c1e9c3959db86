"""Bytes held at once, and who waits for them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.engines.triton.link import ByteBudget


def test_what_does_not_fit_waits_and_keeps_its_place() -> None:
    async def scenario() -> list[str]:
        budget, order = ByteBudget(10), list[str]()

        async def take(name: str, amount: int) -> None:
            async with budget.hold(amount):
                assert budget.held <= 10
                order.append(name)
                await asyncio.sleep(0.001)

        await asyncio.gather(take("first", 8), take("large", 9), take("small", 1))
        assert budget.held == 0
        return order

    assert asyncio.run(scenario()) == ["first", "large", "small"]


def test_what_is_larger_than_the_budget_goes_alone() -> None:
    async def scenario() -> None:
        budget = ByteBudget(10)
        async with budget.hold(25):
            assert budget.held == 10
        assert budget.held == 0

    asyncio.run(scenario())


def test_who_gives_up_waiting_takes_nothing_along() -> None:
    async def scenario() -> None:
        budget = ByteBudget(10)
        async with budget.hold(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), budget.hold(5):
                    pytest.fail("over the budget")
        async with asyncio.timeout(1), budget.hold(10):
            assert budget.held == 10

    asyncio.run(scenario())
