"""ONNX Runtime in the gateway's own process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gateway.engines.base import Model, Refreshed, Status, Tensors, VersionStatus
from gateway.engines.embedded.sessions import Provider, Sessions
from gateway.engines.standing import ready_versions, refreshed, standing
from gateway.engines.watch import watch
from gateway.errors import DeadlineExceeded
from gateway.observability.metrics import Telemetry
from gateway.observability.tracing import exemplar, step
from gateway.repository.card import Card
from gateway.repository.changes import Digests, Stamp, listing
from gateway.repository.store import Repository, StoredModel, scan
from gateway.scheduling.lanes import Lane, Turns
from gateway.scheduling.memory import give_back_freed
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import LanedThreads, answering_lack_of_memory

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Bytes of an item that keeps a core busy by itself: several in one batch are no faster, and what the network computes
# in between no longer fits the caches.
_LARGE_ITEM = 256 * 1024


class EmbeddedEngine:
    """Loads every version of every ONNX model of a repository and runs them on `lanes` threads.

    On a processor a lane runs one batch on one core. That keeps all cores busy under load, and a single
    request too, since its tiles are spread over the lanes; ONNX Runtime's own threads
    would do the second at the cost of the first. An item by itself cannot be spread so; where somebody
    waits for it at the screen, as for the answer to a click, and no lane is taken, ONNX Runtime's own
    threads do spread it. Scanning, hashing and loading have a thread of their own, so that a refresh
    takes no lane from the requests.

    A session lives as long as its `Model`, which the standing holds while it is served and
    every request holds to its end: so a model that was replaced or removed still finishes
    what it began, and is freed after the last of it. With `idle_seconds` one that nobody asks
    for is let go sooner; its model stays ready, and the next request waits until it is open.

    Args:
        root: the model repository.
        provider: where to compute.
        lanes: batches computed side by side.
        telemetry: where readiness, refreshes and batch sizes are counted.
        watch_seconds: time between two looks for changes in the repository; 0: refresh only when told to.
        check: as of `scan`.
        idle_seconds: after so long without a request a model's session is let go; 0: never.
    """

    name = "embedded"
    transport = "in-process"

    def __init__(
        self,
        root: Path,
        provider: Provider,
        lanes: int,
        telemetry: Telemetry,
        watch_seconds: float = 0,
        check: Callable[[Card], None] | None = None,
        idle_seconds: float = 0,
    ) -> None:
        """Load nothing yet; `start` does."""
        self._root = root
        self._provider = provider
        self._lanes = lanes
        self._telemetry = telemetry
        self._watch_seconds = watch_seconds
        self._check = check
        self._threads = LanedThreads("lane", lanes, telemetry)
        # One batch waits behind each that runs, so that no lane ever waits for the event loop.
        self._turns = Turns(2 * lanes, extra=1)
        self._loader = Threads("loader", 1)
        self._statuses: dict[str, Status] = {}
        self._taken: dict[str, StoredModel] = {}
        self.unloaded: set[str] = set()
        self._digests = Digests()
        self._sessions = Sessions(provider, lanes, self._digests.of, self._loader)
        self._idle_seconds = idle_seconds
        self._tried = False
        self._refreshing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load and warm up what is sound in the repository, say what is wrong with the rest, and follow changes."""
        # Listed before it is scanned: what changes in between is noticed.
        seen = await self._look()
        await self.refresh()
        if self._watch_seconds:
            watching = watch(seen, self._look, self.refresh, self._watch_seconds)
            self._tasks.append(asyncio.create_task(watching, name="watch-repository"))
        if self._idle_seconds:
            self._tasks.append(asyncio.create_task(self._let_go(), name="let-go"))

    async def close(self) -> None:
        """Let running batches end and release the models."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._loader.close()
        self._threads.close()
        self._sessions.clear()

    @property
    def tried(self) -> bool:
        """Whether every model of the repository was tried once."""
        return self._tried

    def statuses(self) -> Sequence[Status]:
        """Return the standing of every model folder, sorted by name."""
        return [self._statuses[name] for name in sorted(self._statuses)]

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named outputs for a batch, its items spread over the lanes; see `Engine.infer`."""
        first = next(iter(inputs.values()))
        items = len(first)
        chunks = max(self._fewest_chunks(first), -(-items // model.card.max_batch_size))
        try:
            async with asyncio.timeout(timeline.remaining()):
                session = await self._sessions.of(model)
                if items == 1 and model.card.clicks and self._turns.free == self._turns.count:
                    session = self._sessions.wide(model) or session
                if chunks == 1:
                    compute = partial(session.run, list(outputs), dict(inputs))
                    return dict(zip(outputs, await self._run(compute, model, items, timeline.lane), strict=True))
                return await self._run_in_parts(session, model, inputs, outputs, chunks, timeline.lane)
        except TimeoutError as late:
            raise DeadlineExceeded("The deadline passed while the model ran.") from late

    async def _run_in_parts(
        self,
        session: ort.InferenceSession,
        model: Model,
        inputs: Tensors,
        outputs: Sequence[str],
        chunks: int,
        lane: Lane,
    ) -> Tensors:
        """Return the outputs of a batch that is cut into parts as equal as can be."""
        items = len(next(iter(inputs.values())))
        parts = [slice(*ends) for ends in pairwise(items * cut // chunks for cut in range(chunks + 1))]
        specs = {spec.name: spec for spec in model.card.outputs}
        whole = {name: np.empty((items, *specs[name].shape), specs[name].dtype) for name in outputs}
        runs = []
        for part in parts:
            feed = {name: batch[part] for name, batch in inputs.items()}
            target = {name: array[part] for name, array in whole.items()}
            runs.append(self._run(partial(_fill, session, feed, target), model, part.stop - part.start, lane))
        await asyncio.gather(*runs)
        return whole

    def _fewest_chunks(self, batch: NDArray[Any]) -> int:
        """Return into how many parts a batch is cut at least."""
        if self._provider == "cuda":
            # Kernels spread over a GPU by themselves, and one item does not fill it.
            return 1
        return len(batch) if batch[:1].nbytes >= _LARGE_ITEM else min(len(batch), self._lanes)

    async def _run(self, compute: Callable[[], T], model: Model, items: int, lane: Lane) -> T:
        """Return what a batch computes; those of emergencies go before all others that wait for a lane."""
        self._telemetry.batch_items.labels(model.name).observe(items)
        with step("lane", model=model.name, version=model.version, items=items):
            async with self._turns.held(lane):
                with answering_lack_of_memory():
                    answer, seconds = await self._threads.of(lane).call(partial(_clocked, compute))
        self._telemetry.engine_seconds.labels(model.name, model.version).observe(seconds, exemplar())
        return answer

    async def refresh(self) -> Refreshed:
        """Take in what has changed in the repository; see `Engine.refresh`.

        The version numbers of a model change together, when all that are new have been loaded. One that does not load
        is tried again by every refresh.
        """
        async with self._refreshing:
            read = partial(self._loader.call, scan, self._root, self._digests.of, self._check)
            result = await refreshed(self, read, self._take_in, self._telemetry)
            if result.added or result.changed:
                # What was worked in to load them is as large as the files.
                await self._loader.call(give_back_freed)
            self._tried = True
        return result

    async def _take_in(self, repository: Repository) -> None:
        for name in self._statuses.keys() - repository.models.keys() - {fault.model for fault in repository.faults}:
            self._forget(name)
        for fault in repository.faults:
            self._taken.pop(fault.model, None)
            kept = ready_versions(self._statuses.get(fault.model))
            self._stand(standing(fault.model, list(kept.values()), fault.reason))
        changed = [stored for stored in repository.models.values() if self._taken.get(stored.name) != stored]
        for stored in changed:
            loading = {number: VersionStatus(_model(stored, number), "loading") for number in stored.versions}
            self._stand(
                standing(stored.name, list((loading | ready_versions(self._statuses.get(stored.name))).values()))
            )
        for stored in changed:
            await self._take(stored)

    async def _take(self, stored: StoredModel) -> None:
        """Serve what can be loaded of a model, each version that cannot in its former form."""
        served = ready_versions(self._statuses.get(stored.name))
        versions = [await self._load(stored, number, served.get(number)) for number in stored.versions]
        self._stand(standing(stored.name, versions))
        if not any(version.reason for version in versions):
            self._taken[stored.name] = stored

    async def _load(self, stored: StoredModel, number: int, former: VersionStatus | None) -> VersionStatus:
        if stored.card.format != "onnx":
            return _left(stored, number, former, "the embedded engine runs ONNX only; serve it through Triton")
        model = _model(stored, number)
        try:
            await self._sessions.add(model, stored.versions[number], former.model if former else None)
        except Exception:
            # ONNX Runtime raises bare exceptions of many kinds; a model that cannot be
            # opened must not take the others with it.
            _log.exception("version %d of model %s cannot be loaded", number, model.name)
            return _left(stored, number, former, "ONNX Runtime cannot run the model file; the log has its reason")
        return VersionStatus(model, "ready")

    def _forget(self, name: str) -> None:
        del self._statuses[name]
        self._taken.pop(name, None)
        self._telemetry.forget_model(name)
        _log.info("model %s is gone", name)

    def _stand(self, status: Status) -> None:
        self._statuses[status.name] = status
        self._telemetry.model_ready.labels(status.name).set(status.state == "ready")
        log = _log.error if status.reason else _log.info
        log("model %s is %s%s", status.name, status.state, f": {status.reason}" if status.reason else "")

    async def _let_go(self) -> None:
        while True:
            await asyncio.sleep(self._idle_seconds / 4)
            if await self._sessions.let_go(self._idle_seconds):
                await self._loader.call(give_back_freed)

    async def _look(self) -> dict[str, Stamp]:
        return await self._loader.call(listing, self._root)


def _clocked(function: Callable[[], T]) -> tuple[T, float]:
    """Return `function()` and how many seconds it took."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def _fill(session: ort.InferenceSession, feed: Tensors, outputs: Tensors) -> None:
    """Run one batch, and have its outputs written where they belong: joining them afterwards would copy them."""
    binding = session.io_binding()
    for name, batch in feed.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(batch))
    for name, array in outputs.items():
        binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
    session.run_with_iobinding(binding)


def _model(stored: StoredModel, number: int) -> Model:
    return Model(stored.card, number, stored.card.digests[str(number)])


def _left(stored: StoredModel, number: int, former: VersionStatus | None, reason: str) -> VersionStatus:
    """Return the standing of a version that cannot be taken in: as it was, where it was served."""
    if former is None:
        return VersionStatus(_model(stored, number), "failed", reason)
    return replace(former, reason=f"still serving its former form, since {reason}")
