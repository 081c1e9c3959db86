"""Triton Inference Server, on this host or another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.engines.base import Model, Status, Tensors
from gateway.engines.breaker import Breaker
from gateway.engines.triton_link import Link
from gateway.engines.triton_rpc import Call, RpcError, zeros
from gateway.errors import Internal, MaskgateError, ModelNotReady
from gateway.ops.telemetry import Telemetry
from gateway.ops.timeline import Timeline
from gateway.repository.config import contradictions, from_message
from gateway.repository.store import scan

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_WARM_UP_SECONDS = 600.0  # an engine that is built at its first request takes minutes
_TOLERANCE = 5


class TritonEngine:
    """Runs the models of a repository on a Triton that serves the same repository.

    Each tile is a request of its own, all tiles of a request at once, so that Triton's dynamic batcher can put tiles of
    many requests into one execution. A watch asks twice a second how the server and each model stand. A model is
    ready once Triton's configuration agrees with its card and a tile of zeros was answered, at first and again after
    its breaker has opened.

    Args:
        root: the model repository, for its cards.
        url: ``host:port`` of Triton's gRPC service.
        share: whether to share memory with a server on this host, rather than send every tensor.
        inflight_bytes: tensors held at once on their way to Triton and back, in bytes.
        telemetry: where readiness, durations and errors are counted.
    """

    name = "triton"

    def __init__(self, root: Path, url: str, share: bool, inflight_bytes: int, telemetry: Telemetry) -> None:
        """Connect to nothing yet; `start` does."""
        self._root = root
        self._url = url
        self._share = share
        self._inflight_bytes = inflight_bytes
        self._telemetry = telemetry
        self._link: Link | None = None
        self._watching: asyncio.Task[None] | None = None
        self._statuses: dict[str, Status] = {}
        self._models: dict[str, Model] = {}
        self._breakers: dict[str, Breaker] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}

    @property
    def transport(self) -> str:
        """How tensors travel: "shared-memory", or "binary" within the messages."""
        return self._link.transport if self._link else "binary"

    async def start(self) -> None:
        """Read the cards, see which models Triton serves as they say, and keep watching; it need not be there yet."""
        repository = await asyncio.to_thread(scan, self._root)
        for fault in repository.faults:
            self._stand(Status(fault.model, "failed", fault.reason))
        for name, stored in repository.models.items():
            self._models[name] = Model(stored.card, stored.newest, stored.digest)
            self._breakers[name] = Breaker(_TOLERANCE)
            self._stand(Status(name, "loading", model=self._models[name]))
        self._link = Link(self._url, self._share, self._inflight_bytes, self._telemetry)
        await self._look(self._link)
        await asyncio.gather(*self._looks.values())
        self._watching = asyncio.create_task(self._watch(self._link), name="watch-triton")

    async def close(self) -> None:
        """Stop watching, give shared memory back and disconnect."""
        tasks = [task for task in (self._watching, *self._looks.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._link:
            await self._link.close()

    def statuses(self) -> Sequence[Status]:
        """Return the standing of every model folder, sorted by name."""
        return [self._statuses[name] for name in sorted(self._statuses)]

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named outputs for a batch, each item a request of its own; see `Engine.infer`.

        Raises:
            DeadlineExceeded: the answer did not come in time; Triton is told to drop the request.
            Overloaded: Triton's queue is full.
            ModelNotReady: Triton or the model is away.
            Internal: the model failed.
        """
        breaker = self._breakers.get(model.name)
        if breaker is None or breaker.open or self._link is None:
            raise ModelNotReady(f"Model {model.name} is not ready.", retry_after=1)
        items = len(next(iter(inputs.values())))
        specs = {spec.name: spec for spec in model.card.outputs}
        answer = {name: np.empty((items, *specs[name].shape), specs[name].dtype) for name in outputs}
        calls = [
            Call(model, *({name: batch[n : n + 1] for name, batch in each.items()} for each in (inputs, answer)))
            for n in range(items)
        ]
        try:
            await _all([self._link.run(call, timeline) for call in calls])
        except ModelNotReady as error:
            breaker.trip()
            self._fall(model.name, f"Triton stopped answering: {error.detail}")
            raise
        except Internal:
            breaker.fail()
            if breaker.open:
                self._fall(model.name, f"it failed {_TOLERANCE} times in a row; the log has the reasons")
            raise
        breaker.succeed()
        return answer

    async def _watch(self, link: Link) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._look(link)
            except Exception:
                # A watch that ended unseen would never find a server that is back.
                _log.exception("Triton cannot be watched")

    async def _look(self, link: Link) -> None:
        """See whether the server answers, and begin to look at each model that is not being looked at already."""
        if not await link.reach():
            for name in self._models:
                self._fall(name, f"Triton does not answer at {self._url}")
            return
        for name, model in self._models.items():
            if name not in self._looks or self._looks[name].done():
                self._looks[name] = asyncio.create_task(self._look_at(link, model), name=f"look-at-{name}")

    async def _look_at(self, link: Link, model: Model) -> None:
        """See whether Triton has the model; where its breaker is open, close it if it serves as its card says."""
        try:
            if not await link.channel.model_ready(model):
                self._fall(model.name, f"Triton has not loaded version {model.version}; its log says why")
            elif self._breakers[model.name].open:
                config = from_message(await link.channel.model_config(model))
                if found := "; ".join(contradictions(config, model.card, "Triton")):
                    self._fall(model.name, found)
                    return
                await link.run(zeros(model), Timeline(_WARM_UP_SECONDS))
                self._breakers[model.name].close()
                self._stand(Status(model.name, "ready", model=model))
        except RpcError:
            self._fall(model.name, f"Triton does not answer at {self._url}")
        except MaskgateError as error:
            self._fall(model.name, f"Triton does not answer a tile of zeros: {error.detail}")

    def _fall(self, name: str, reason: str) -> None:
        """Open the breaker of a model and say why."""
        self._breakers[name].trip()
        self._stand(Status(name, "failed", reason, self._models[name]))

    def _stand(self, status: Status) -> None:
        if status == self._statuses.get(status.name):
            return
        self._statuses[status.name] = status
        self._telemetry.model_ready.labels(status.name).set(status.state == "ready")
        if status.state == "failed":
            _log.error("model %s is not served: %s", status.name, status.reason)
        else:
            _log.info("model %s is %s", status.name, status.state)


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    """Wait until all is done; when one fails or the caller leaves, cancel the others and wait for them to end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
