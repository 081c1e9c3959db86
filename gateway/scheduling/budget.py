"""A budget of bytes that callers wait for, in the order they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """At most `size` bytes held at once. Lives on one event loop.

    Args:
        size: the budget in bytes, > 0.
    """

    def __init__(self, size: int) -> None:
        """Hold nothing yet."""
        self._size = size
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self.held = 0

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Wait until `amount` bytes fit, and hold them while inside; more than the budget goes alone."""
        amount = min(amount, self._size)
        async with self._turn:
            while self.held + amount > self._size:
                self._freed.clear()
                await self._freed.wait()
            self.held += amount
        try:
            yield
        finally:
            self.held -= amount
            self._freed.set()
