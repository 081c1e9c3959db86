"""An event loop whose clock jumps to the next thing that is due: hours pass in no time, and always the same way."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Waits for nothing: what would have been waited for passes on the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now


def run_virtually(monkeypatch: pytest.MonkeyPatch, scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what `scenario` returns, run on such a loop; `time.monotonic` and `time.perf_counter` tell its time."""
    loop = _Loop()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", loop.time)
            patched.setattr(time, "perf_counter", loop.time)
            return loop.run_until_complete(scenario())
    finally:
        loop.run_until_complete(_end_others())
        loop.close()


async def _end_others() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
