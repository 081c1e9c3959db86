"""Triton Inference Server, on this host or another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gateway.engines.base import Model, Refreshed, Status, Tensors
from gateway.engines.standing import refreshed
from gateway.engines.triton.breaker import TOLERANCE
from gateway.engines.triton.link import Link
from gateway.engines.triton.models import Models
from gateway.engines.triton.rpc import SHORT_SECONDS, Call, RpcError, loads_not, not_answering, timed_out
from gateway.engines.triton.version import WARM_UP_SECONDS, Version, flaw, not_loaded
from gateway.errors import Internal, ModelNotReady, Unavailable
from gateway.observability.metrics import Telemetry
from gateway.repository.card import Card
from gateway.repository.changes import Digests
from gateway.repository.store import Repository, StoredModel, scan
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


class TritonEngine:
    """Runs the models of a repository on a Triton that serves the same repository.

    Each tile is a request of its own, all tiles of a request at once, so that Triton's dynamic batcher can put tiles of
    many requests into one execution.

    A refresh has Triton load what has changed (`--model-control-mode=explicit`); so does finding a server, at first
    and again, because nobody knows what that one has. A version is ready once Triton's configuration agrees with its
    card and a tile of zeros was answered. A watch asks twice a second how the server and each version stand, and
    probes those whose breaker has opened. When a server that does not answer is gone, `Link` says; until then its
    versions stay as they are.

    Triton cannot tell the digest of the file that it runs. The engine takes it for the one on disk, looked at before
    and after Triton loaded it; a Triton that loads otherwise than by this engine's word can break that.

    Args:
        root: the model repository, for its cards.
        url: ``host:port`` of Triton's gRPC service.
        share: whether to share memory with a server on this host, rather than send every tensor.
        inflight_bytes: tensors held at once on their way to Triton and back, in bytes.
        telemetry: where readiness, refreshes, durations and errors are counted.
        check: as of `scan`.
    """

    name = "triton"

    def __init__(
        self,
        root: Path,
        url: str,
        share: bool,
        inflight_bytes: int,
        telemetry: Telemetry,
        check: Callable[[Card], None] | None = None,
    ) -> None:
        """Connect to nothing yet; `start` does."""
        self._root = root
        self._url = url
        self._silence = f"Triton does not answer at {url}"
        self._share = share
        self._inflight_bytes = inflight_bytes
        self._telemetry = telemetry
        self._check = check
        self._link: Link | None = None
        self._disk = Threads("repository", 1)
        self.unloaded: set[str] = set()
        self._digests = Digests()
        self._tried = False
        self._models = Models(telemetry)
        self._taken: dict[str, StoredModel] = {}
        self._told = 0
        self._refreshing = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    @property
    def transport(self) -> str:
        """How tensors travel: "shared-memory", or "binary" within the messages."""
        return self._link.transport if self._link else "binary"

    async def start(self) -> None:
        """Have Triton load what is on disk, see which of it serves as its card says, and keep watching.

        The server need not be there yet.
        """
        self._link = Link(self._url, self._share, self._inflight_bytes, self._telemetry)
        await self._link.reach()
        await self.refresh()
        self._tasks["watch"] = asyncio.create_task(self._watch(self._link), name="watch-triton")

    async def close(self) -> None:
        """Stop watching, give shared memory back and disconnect."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._link:
            await self._link.close()
        self._disk.close()

    @property
    def tried(self) -> bool:
        """Whether every model of the repository was tried once."""
        return self._tried

    def statuses(self) -> Sequence[Status]:
        """Return the standing of every model folder, sorted by name."""
        return self._models.statuses()

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named outputs for a batch, each item a request of its own; see `Engine.infer`.

        Raises:
            DeadlineExceeded: the answer did not come in time; Triton is told to drop the request.
            Overloaded: Triton's queue is full.
            ModelNotReady: Triton or the model is away, or the model's file was replaced.
            Internal: the model failed.
        """
        version = self._models.held(model)
        if version is None:
            raise _replaced(model)
        if version.state != "ready" or self._link is None:
            raise ModelNotReady(f"Model {model.name} is not ready.", retry_after=1)
        items = len(next(iter(inputs.values())))
        specs = {spec.name: spec for spec in model.card.outputs}
        answer = {name: np.empty((items, *specs[name].shape), specs[name].dtype) for name in outputs}
        calls = [
            Call(model, *({name: batch[n : n + 1] for name, batch in each.items()} for each in (inputs, answer)))
            for n in range(items)
        ]
        rises = version.rises
        try:
            await self._link.run_all(calls, timeline)
        except ModelNotReady as error:
            if rises == version.rises:  # else it has fallen and become ready again since the request was sent
                self._models.fall(version, f"a request was not answered: {error.detail}")
            raise
        except Internal:
            version.breaker.fail()
            if version.breaker.open:
                self._models.fall(version, f"it failed {TOLERANCE} times in a row; the log has the reasons")
            raise
        if not await self._answered(version, model):
            raise _replaced(model)
        version.breaker.succeed()
        return answer

    async def _answered(self, version: Version, model: Model) -> bool:
        """Return whether Triton has just answered with the file that `model` means, and none that replaced it.

        That the version has fallen meanwhile is no reason against it. Only a Triton that was started again may have
        another file by now, and it has the one on disk.
        """
        if version.state != "ready":
            try:
                if await self._on_disk(self._digests.of, version.path) != model.digest:
                    return False
            except OSError:
                return False
        return self._models.held(model) is version

    async def refresh(self) -> Refreshed:
        """Have Triton take in what has changed in the repository; see `Engine.refresh`.

        Triton takes in all versions of a model or none: beside a new one that does not load, no other becomes ready.
        A version whose file was replaced is not ready until Triton has loaded it, since nobody could tell which of the
        two answers meanwhile.
        """
        if self._link is None:
            raise Unavailable("The engine has not been started.", retry_after=5)
        async with self._refreshing:
            read = partial(self._on_disk, scan, self._root, self._digests.of, self._check)
            result = await refreshed(self, read, partial(self._take_in, self._link), self._telemetry)
            self._tried = True
        return result

    async def _take_in(self, link: Link, repository: Repository) -> None:
        session = link.session
        if session != self._told:
            self._taken.clear()
        faults = {fault.model: fault.reason for fault in repository.faults}
        for name in self._models.names() - repository.models.keys() - faults.keys():
            await self._forget(link, name)
        for name in faults:
            self._taken.pop(name, None)
        self._models.blame(faults)
        changed = [stored for stored in repository.models.values() if self._taken.get(stored.name) != stored]
        away = [not await self._take(link, stored, same=session == self._told) for stored in changed]
        # Where it went away meanwhile, or was never there, everything is told again to the one that is found.
        self._told = -1 if any(away) else session

    async def _take(self, link: Link, stored: StoredModel, same: bool) -> bool:
        """Have Triton load a model and see which versions serve; return False where it was not answered.

        Args:
            link: the link to Triton.
            stored: the model as it is on disk.
            same: whether this is the Triton that the former versions were loaded by.
        """
        former, versions = self._models.succeed(stored)
        replaced = {n: v for n, v in former.items() if same and n in versions and v is not versions[n]}
        trouble, answered = await self._load(link, stored.name)
        for number, version in versions.items():
            if trouble and answered and number in replaced:
                versions[number] = replaced[number]
                versions[number].stay(trouble)
            elif not answered:
                version.fall(trouble)
            elif version.state != "ready":
                await self._probe(link, version)
        self._models.show(stored.name)
        if not any(version.reason for version in versions.values()):
            self._taken[stored.name] = stored
        return answered

    async def _load(self, link: Link, name: str) -> tuple[str, bool]:
        """Have Triton load a model; return why it did not, or nothing, and whether it was answered."""
        try:
            await link.channel.load(name, WARM_UP_SECONDS)
        except RpcError as error:
            _log.error("Triton does not load model %s: %s", name, error.details())
            if loads_not(error):
                return "Triton loads nothing on request", True
            if timed_out(error):
                return f"Triton has not loaded it within {WARM_UP_SECONDS:.0f} seconds", False
            if not_answering(error):
                return self._silence, False
            return "Triton cannot load it; its log says why", True
        return "", True

    async def _probe(self, link: Link, version: Version) -> None:
        """Let requests through where Triton serves the version as its card says, from the file that its card means."""
        model = version.model
        try:
            found = await flaw(link, model)
            if not found and await self._on_disk(self._digests.of, version.path) != model.digest:
                found = "its file has changed since the last refresh"
        except RpcError as error:
            found = self._silence if not_answering(error) else not_loaded(model)
        except OSError:
            found = "its file cannot be read"
        if found:
            version.fall(found)
        else:
            version.rise()

    async def _watch(self, link: Link) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._look(link)
            except Exception:
                # A watch that ended unseen would never find a server that is back.
                _log.exception("Triton cannot be watched")

    async def _look(self, link: Link) -> None:
        """See whether the server is there; tell one found anew what to load, look at each version of one known."""
        versions = self._models.versions()
        if not await link.reach():
            for version in versions:
                self._models.fall(version, self._silence)
        elif link.session != self._told:
            self._begin("refresh", self.refresh())
        else:
            for version in versions:
                if version.state != "loading":
                    model = version.model
                    self._begin(f"look-at-{model.name}-{model.version}", self._look_at(link, version))

    async def _look_at(self, link: Link, version: Version) -> None:
        """See whether Triton has the version; where its breaker is open, close it if it serves as its card says."""
        name = version.model.name
        if version.breaker.open:
            if name in link.lost:
                await self._renew(link, name)
            await self._probe(link, version)
            self._models.show(name)
            return
        try:
            if not await link.channel.model_ready(version.model, SHORT_SECONDS):
                self._models.fall(version, not_loaded(version.model))
        except RpcError as error:
            # The link says whether the server is gone; of the version that says nothing.
            if not not_answering(error):
                self._models.fall(version, not_loaded(version.model))

    async def _renew(self, link: Link, name: str) -> None:
        """Have Triton start another process for a model, and do not leave it half-way: it would be unloaded."""
        renewing = asyncio.create_task(link.renew(name, WARM_UP_SECONDS))
        try:
            await asyncio.shield(renewing)
        except RpcError as error:
            _log.error("Triton does not load model %s anew: %s", name, error.details())
        except asyncio.CancelledError:
            await asyncio.wait([renewing])
            raise

    def _begin(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Start a task, unless the one of that name is still running."""
        running = self._tasks.get(name)
        if running is not None and not running.done():
            work.close()
            return
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _forget(self, link: Link, name: str) -> None:
        self._taken.pop(name, None)
        self._models.remove(name)
        try:
            await link.channel.unload(name, WARM_UP_SECONDS)
        except RpcError as error:
            _log.warning("Triton does not unload model %s: %s", name, error.details())

    async def _on_disk(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._disk.call(function, *arguments)


def _replaced(model: Model) -> ModelNotReady:
    return ModelNotReady(f"Model {model.name} was replaced or taken away.", retry_after=1)
