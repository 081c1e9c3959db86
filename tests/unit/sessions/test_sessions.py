"""What sessions in memory promise beyond the contract: pixels are let go on time, also where nobody calls."""

from __future__ import annotations

import asyncio

import numpy as np

from gateway.observability.metrics import Telemetry
from gateway.sessions.features import MemoryFeatures
from gateway.sessions.store import MemorySessions, Session, new_id

PIXELS = np.zeros((10, 10, 3), np.uint8)


def session() -> Session:
    return Session(new_id(), "public", "sha256:1", 10, 10, (), "click-lite0", 1, "sha256:2", None)


def test_pixels_of_idle_sessions_are_let_go_unasked() -> None:
    telemetry = Telemetry()

    def held() -> float | None:
        return telemetry.registry.get_sample_value("maskgate_session_cache_bytes")

    async def run() -> None:
        sessions = MemorySessions(0.1, MemoryFeatures(1000, telemetry))
        first, second = session(), session()
        await sessions.create(first, PIXELS)
        await asyncio.sleep(0.05)
        await sessions.create(second, PIXELS)
        await sessions.delete(first)
        assert held() == 300
        await asyncio.sleep(0.3)
        assert held() == 0
        await sessions.create(session(), PIXELS)
        assert held() == 300
        await asyncio.sleep(0.3)
        assert held() == 0
        await sessions.close()

    asyncio.run(run())
