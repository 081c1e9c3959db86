"""An engine that need not be asked twice: what models have answered of long work is written down as it comes.

Work that was broken off begins anew, on the same input, in the same order, and finds there what models had answered
before. All that it holds in between, open buildings, statistics, label maps, comes about again by itself, and a task
knows nothing of it. What is spared is the models' time, most of all there is; what is read and decided, is so again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol, cast

from gateway.engines.base import Engine, Model, Tensors
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers


class Memory(Protocol):
    """Where answers are written down; its methods block, and are called by several threads."""

    @property
    def open(self) -> bool:
        """Whether the work is long enough for answers to be worth their place."""

    def recall(self, key: bytes) -> Tensors | None:
        """Return the answer that was kept by a key, if there is one."""

    def keep(self, key: bytes, answer: Tensors) -> None:
        """Write an answer down, unless there is no room for it."""


class RememberingEngine:
    """Asks another engine what is not written down; in all else it is that engine.

    Args:
        engine: that is asked.
        workers: threads of the request.
        memory: of one piece of work.
    """

    def __init__(self, engine: Engine, workers: Workers, memory: Memory) -> None:
        """Remember nothing yet."""
        self._engine, self._workers, self._memory = engine, workers, memory

    def __getattr__(self, name: str) -> Any:
        """Return what the engine has by a name."""
        return getattr(self._engine, name)

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named outputs for a batch; see `Engine.infer`."""
        if not self._memory.open:
            return await self._engine.infer(model, inputs, outputs, timeline)
        run = self._workers.run_to_end
        key = await run(timeline, "finish", key_of, model, inputs, outputs)
        known = await run(timeline, "finish", self._memory.recall, key)
        if known is not None:
            return known
        answer = await self._engine.infer(model, inputs, outputs, timeline)
        await run(timeline, "finish", self._memory.keep, key, answer)
        return answer


def remembering(engine: Engine, workers: Workers, memory: Memory) -> Engine:
    """Return an engine that asks `engine` what is not written down in `memory`."""
    return cast(Engine, RememberingEngine(engine, workers, memory))


def key_of(model: Model, inputs: Tensors, outputs: Sequence[str]) -> bytes:
    """Return what stands for a question, 32 bytes: of the model, and of every byte that it is asked about."""
    hashed = hashlib.blake2b(repr((model.name, model.version, model.digest, list(outputs))).encode(), digest_size=32)
    for name in sorted(inputs):
        tensor = inputs[name]
        hashed.update(repr((name, tensor.dtype.str, tensor.shape)).encode())
        hashed.update(tensor.data.cast("B"))
    return hashed.digest()
