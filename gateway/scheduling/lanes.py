"""Turns in two lanes: emergencies first, and everything else never starved."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, Literal, TypeVar, get_args

Lane = Literal["emergency", "bulk"]
LANES: tuple[Lane, ...] = get_args(Lane)
"""The first goes before the second."""

BULK_EVERY = 10
"""Of so many turns one is bulk's while both lanes wait, unless somebody says otherwise."""

T = TypeVar("T", bound=Hashable)


class Lanes(Generic[T]):
    """Who waits, and who is next. Each call takes the same time, however many wait.

    First come first served within a lane; emergencies before all others, except that while some wait in both lanes one
    in `bulk_every` is bulk's.

    Args:
        bulk_every: at least 2.
    """

    def __init__(self, bulk_every: int) -> None:
        """Let nobody wait yet."""
        self._bulk_every = bulk_every
        self._waiting: dict[Lane, OrderedDict[T, None]] = {lane: OrderedDict() for lane in LANES}
        self._overtaken = 0

    def waiting(self, lane: Lane) -> int:
        """Return how many wait in a lane."""
        return len(self._waiting[lane])

    def add(self, lane: Lane, one: T) -> None:
        """Let `one`, who does not wait yet, wait behind all others of the lane."""
        self._waiting[lane][one] = None

    def add_first(self, lane: Lane, one: T) -> None:
        """Let `one`, who does not wait yet, wait before all others of the lane."""
        self._waiting[lane][one] = None
        self._waiting[lane].move_to_end(one, last=False)

    def discard(self, lane: Lane, one: T) -> None:
        """Let `one` wait no more, if it does."""
        self._waiting[lane].pop(one, None)

    def pop(self) -> T | None:
        """Return who is next, who then waits no more; None: nobody waits."""
        emergency, bulk = (self._waiting[lane] for lane in LANES)
        if emergency and not (bulk and self._overtaken >= self._bulk_every - 1):
            self._overtaken = self._overtaken + 1 if bulk else 0
            return emergency.popitem(last=False)[0]
        self._overtaken = 0
        return bulk.popitem(last=False)[0] if bulk else None


class Turns:
    """`count` turns, held by as many callers at once; the others wait in lanes. Lives on one event loop.

    Emergencies may hold `extra` turns beyond these, so that they begin at once where all others are taken; whoever
    holds one then shares the machine with more than it was made for, until one of them ends, or lends its turn.

    A caller who is cancelled while it waits holds no turn, and none is lost.

    Args:
        count: at least 1.
        bulk_every: see `Lanes`.
        extra: turns for emergencies beyond `count`.
    """

    def __init__(self, count: int, bulk_every: int = BULK_EVERY, extra: int = 0) -> None:
        """Have every turn free."""
        self.count = count
        self._extra = extra
        self._held = 0
        self._lanes: Lanes[asyncio.Future[None]] = Lanes(bulk_every)

    @property
    def free(self) -> int:
        """How many turns anybody may take at once; below 0, how many more are held than there are for all."""
        return self.count - self._held

    def waiting(self, lane: Lane) -> int:
        """Return how many wait in a lane."""
        return self._lanes.waiting(lane)

    @asynccontextmanager
    async def held(self, lane: Lane) -> AsyncIterator[None]:
        """Hold a turn while inside, taken after all who wait in the lane."""
        await self.take(lane)
        try:
            yield
        finally:
            self.give_back()

    async def take(self, lane: Lane) -> None:
        """Return when the caller holds a turn, after all who wait in its lane."""
        await self._take(lane, self._lanes.add)

    def take_free(self) -> bool:
        """Take a turn if one is free, for which then nobody waits, and return whether it was."""
        if self.free <= 0:
            return False
        self._held += 1
        return True

    async def take_again(self, lane: Lane) -> None:
        """Return when the caller, who has begun, holds a turn again, before all who wait in its lane."""
        await self._take(lane, self._lanes.add_first)

    async def pass_on(self, lane: Lane) -> None:
        """Give a turn to who is next by the rules of the lanes; return with one after all who wait in its lane."""
        await self._pass_on(lane, self._lanes.add)

    async def lend(self, lane: Lane) -> None:
        """Give a turn to who is next by the rules of the lanes; return with one before all who wait in its lane."""
        await self._pass_on(lane, self._lanes.add_first)

    def give_back(self) -> None:
        """Give a turn to the next who may have it."""
        self._held -= 1
        while self._may(self._lanes.waiting("emergency") > 0) and (next_one := self._lanes.pop()) is not None:
            # Who was cancelled just now has not left its lane yet.
            if not next_one.done():
                self._held += 1
                next_one.set_result(None)

    def _may(self, urgent: bool) -> bool:
        return self._held < self.count + (self._extra if urgent else 0)

    async def _take(self, lane: Lane, join: Callable[[Lane, asyncio.Future[None]], None]) -> None:
        # Nobody waits for what is free: a turn that is given back goes to the next at once.
        if self._may(lane == "emergency"):
            self._held += 1
            return
        turn = asyncio.get_running_loop().create_future()
        join(lane, turn)
        await self._await(lane, turn)

    async def _pass_on(self, lane: Lane, join: Callable[[Lane, asyncio.Future[None]], None]) -> None:
        turn = asyncio.get_running_loop().create_future()
        join(lane, turn)
        self.give_back()
        await self._await(lane, turn)

    async def _await(self, lane: Lane, turn: asyncio.Future[None]) -> None:
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._lanes.discard(lane, turn)
            else:
                self.give_back()
            raise
