"""Noticing that the repository on disk has changed: by looking, and by what another process was told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from gateway.observability.place import Tally

_log = logging.getLogger(__name__)

_FOLLOW_SECONDS = 0.5

Listing = Mapping[str, object]


async def watch(
    seen: Listing, look: Callable[[], Awaitable[Listing]], act: Callable[[], Awaitable[object]], seconds: float
) -> None:
    """Call `act` whenever what `look` returns has changed and come to rest; never returns.

    A change is acted on once two looks in a row agree, so that a copy under way is left to finish. What goes wrong in
    either is logged and does not end the watch; a change whose `act` failed is acted on again.

    Args:
        seen: the listing that was acted on last.
        look: returns the listing of the repository as it is.
        act: takes a changed repository in.
        seconds: time between two looks.
    """
    before = seen
    while True:
        await asyncio.sleep(seconds)
        try:
            now = await look()
            if now == before and now != seen:
                await act()
                seen = now
            before = now
        except Exception:
            # A watch that ended unseen would serve yesterday's models for ever.
            _log.exception("the model repository cannot be followed")


async def follow(refreshes: Tally, refresh: Callable[[], Awaitable[object]]) -> None:
    """Call `refresh` whenever another process of the gateway was told to; never returns.

    Args:
        refreshes: how often each process was.
        refresh: takes a changed repository in.
    """
    seen = refreshes.total - refreshes.own
    while True:
        await asyncio.sleep(_FOLLOW_SECONDS)
        now = refreshes.total - refreshes.own
        if now != seen:
            seen = now
            try:
                await refresh()
            except Exception:
                _log.exception("the model repository cannot be read")
