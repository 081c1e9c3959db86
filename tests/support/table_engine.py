"""An engine that looks the labels of the trivial model up in the calling thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from gateway.engines.base import Model, Refreshed, Status, Tensors
from gateway.errors import ModelNotReady
from gateway.scheduling.timeline import Timeline
from tests.support.trivial import label_table, probability_table

LABELS, PROBABILITIES = label_table(5), probability_table(5)


class TableEngine:
    """Looks the labels up in this thread, so that only the gateway's own memory is measured."""

    name = "table"
    transport = "in-process"
    tried = True
    unloaded: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        self.calls = 0
        self.fail_at = -1

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def refresh(self) -> Refreshed:
        return Refreshed((), (), (), {})

    def statuses(self) -> Sequence[Status]:
        return ()

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        self.calls += 1
        if self.calls == self.fail_at:
            raise ModelNotReady("Gone.")
        await asyncio.sleep(0)
        green = inputs["post"][..., 1]
        tables = {"label_map": LABELS, "probabilities": PROBABILITIES}
        return {name: tables[name][green] for name in outputs}
