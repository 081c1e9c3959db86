"""The watch acts once on every change that has come to rest, and outlives what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.engines.watch import Listing, watch


def acts(looks: Sequence[Listing | Exception], failing: bool = False) -> list[int]:
    """Return at which of the looks (from 0) a watch that began with the listing `{}` has acted."""
    at: list[int] = []
    looked = -1

    async def play() -> None:
        done = asyncio.Event()

        async def look() -> Listing:
            nonlocal looked
            if looked + 1 == len(looks):
                done.set()
                await asyncio.Event().wait()
            looked += 1
            seen = looks[looked]
            if isinstance(seen, Exception):
                raise seen
            return seen

        async def act() -> None:
            at.append(looked)
            if failing:
                raise RuntimeError

        watching = asyncio.create_task(watch({}, look, act, 0))
        await done.wait()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(play())
    return at


A, B, C = ({"model.onnx": size} for size in range(3))


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([{}, {}, {}], []),
        ([A, A, A, A], [1]),
        ([A, B, C, C, C], [3]),
        ([A, A, B, B, A, A], [1, 3, 5]),
        ([A, {}, {}, {}], []),
        ([A, OSError(), A, A], [2]),
    ],
)
def test_a_change_that_came_to_rest_is_acted_on_once(looks: list[Listing | Exception], expected: list[int]) -> None:
    assert acts(looks) == expected


def test_an_action_that_fails_is_tried_again() -> None:
    assert acts([A, A, A, B, B], failing=True) == [1, 2, 4]
