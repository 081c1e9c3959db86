"""Noticing by itself that the repository on disk has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

_log = logging.getLogger(__name__)

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
