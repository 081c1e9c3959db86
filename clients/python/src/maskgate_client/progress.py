"""How far a call is: its upload, and then what the gateway does with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Event

PATIENCE = 5.0
"""Seconds that one question for progress may take: the answer it is about waits for its end."""
_PERIOD = 0.5


@dataclass(frozen=True)
class Progress:
    """How far a call is.

    Attributes:
        stage: "send" while its files are sent; then what the gateway began last: queue, decode, infer, finish, encode.
        done: bytes sent; then slices of a CT, or tiles of other images.
        total: of how many.
    """

    stage: str
    done: int
    total: int


Tell = Callable[[Progress], object]
"""Is told how far a call is, while it waits: by `Client` from another thread, by `AsyncClient` on the event loop."""


@contextmanager
def followed(ask: Callable[[], Progress | None], tell: Tell) -> Iterator[None]:
    """Ask from another thread how far the call inside is, now and then, and tell of it where it is known.

    Raises:
        Exception: what `tell` raises, when the call is over; nothing more was told then.
    """
    over = Event()

    def follow() -> None:
        while not over.wait(_PERIOD):
            step = ask()
            if step is not None and not over.is_set():
                tell(step)

    with ThreadPoolExecutor(1, "maskgate-progress") as pool:
        following = pool.submit(follow)
        try:
            yield
        finally:
            over.set()
    following.result()


@asynccontextmanager
async def followed_async(ask: Callable[[], Awaitable[Progress | None]], tell: Tell) -> AsyncIterator[None]:
    """Do as `followed` on the event loop."""

    async def follow() -> None:
        while True:
            await asyncio.sleep(_PERIOD)
            step = await ask()
            if step is not None:
                tell(step)

    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait({following})
    if not following.cancelled():
        following.result()
