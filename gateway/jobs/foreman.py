"""Who sees to the jobs of a folder: one process of the gateway at a time, whoever does the work.

Of several processes that which has the folder's lock does; when it ends, however it does, the system lets the lock go
and another takes over. So nothing has to be leased, and an item is never begun by two.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from contextlib import suppress

from gateway.http.request_path import Services
from gateway.jobs.desk import Desk
from gateway.jobs.files import lock
from gateway.observability import logs

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25

SWEEP_SECONDS = 60.0
"""How often what is over is forgotten."""

_PAUSE_SECONDS = 5.0


class Foreman(ABC):
    """Sees to jobs as long as it runs.

    Args:
        desk: with the jobs.
        services: of the app.

    Attributes:
        look_seconds: how long what is to be done may wait to be seen.
    """

    def __init__(self, desk: Desk, services: Services) -> None:
        """Begin nothing yet."""
        self.look_seconds = LOOK_SECONDS
        self._desk = desk
        self._services = services

    async def run(self) -> None:
        """See to jobs, once no other process does, until cancelled."""
        folder = self._desk.settings.folder
        assert folder is not None  # noqa: S101 - a desk has one
        # What is waited for, another process does; and engines have no event for having tried.
        while (held := await self._desk.disk(lock, folder / "runner.lock")) is None:  # noqa: ASYNC110
            await asyncio.sleep(1)
        with held:
            while not self._services.engine.tried:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
            await self._desk.disk(self._desk.files.tidy)
            try:
                await self._go_on()
            finally:
                await self._leave()

    async def _go_on(self) -> None:
        swept = -SWEEP_SECONDS
        while True:
            try:
                if time.monotonic() - swept >= SWEEP_SECONDS:
                    swept = time.monotonic()
                    await self._recover()
                    await self._desk.clear(await self._desk.books(self._desk.store.sweep))
                self._desk.woken.clear()
                await self._look()
                self._services.telemetry.job_items_waiting.set(await self._desk.books(self._desk.store.waiting))
            except Exception as error:
                # A full disk, most of all: what is there stays, and goes on when there is room. Nothing ends this for
                # good, or jobs would stand still and nobody would know.
                _log.error("jobs pause: %s", logs.where(error))
                await asyncio.sleep(_PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.look_seconds):
                    await self._desk.woken.wait()

    @abstractmethod
    async def _look(self) -> None:
        """End what is to end, begin what there is room for, write down how far the rest is."""

    @abstractmethod
    async def _recover(self) -> None:
        """Take up again what is written down as worked on and is not."""

    @abstractmethod
    async def _leave(self) -> None:
        """Let go of what this process works on."""
