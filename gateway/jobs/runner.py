"""The embedded engine of jobs: the process that sees to them works them off, each item as a request of the bulk lane.

One process was preferred to all of them because its worker threads are shared with requests anyway, and `jobs.at_once`
then means what it says; the price is that jobs use the threads of one process alone.

What a process that dies had begun is begun again. What models had answered about an item is in its journal then, and is
not asked again; all that a scene's bands or a CT's slices leave behind (open buildings, statistics, label maps) lies in
memory and in GDAL's own, and comes about anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from gateway.errors import InputUnreachable, Internal, MaskgateError, RequestNotFound
from gateway.http.request_path import Services
from gateway.jobs.asking import Answered, Asking, PartFile, kept_headers
from gateway.jobs.desk import Desk
from gateway.jobs.files import BODY, digest_of_file, new_file
from gateway.jobs.foreman import Foreman
from gateway.jobs.journal import Journal
from gateway.jobs.model import Item, Job, Request, Result, Source, joined, key_of
from gateway.jobs.records import problem_of
from gateway.observability import logs
from gateway.stores.access import fetch

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 30.0
_BUSY = frozenset({429, 503})
_MOST_LATE = 3
_FETCH_PAUSES = (1.0, 5.0)

Place = tuple[str, int]


@dataclass(frozen=True)
class _Working:
    """An item that is worked on: by which task of the event loop, and for whom."""

    task: asyncio.Task[None]
    tenant: str


class Runner(Foreman):
    """Works jobs off in this process, each item as a request of the bulk lane.

    Args:
        desk: with the jobs.
        services: of the app.
        tasks: an app with the routes of all tasks.
    """

    def __init__(self, desk: Desk, services: Services, tasks: ASGIApp) -> None:
        """Begin nothing yet."""
        super().__init__(desk, services)
        self._tasks = tasks
        self._running: dict[Place, _Working] = {}

    async def _recover(self) -> None:
        desk = self._desk
        await desk.books(desk.store.recover, desk.settings.tries, list(self._running))
        for job, number in await desk.disk(desk.files.journals):
            items = await desk.books(desk.store.items, job, number, 1)
            if not any(item.number == number and item.state in ("waiting", "running") for item in items):
                await desk.disk(desk.files.journal(job, number).unlink, True)

    async def _leave(self) -> None:
        """End the items that run; they wait for the next process."""
        left = [working.task for working in self._running.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _look(self) -> None:
        desk = self._desk
        for place in await desk.books(desk.store.unwanted):
            if place in self._running:
                self._running[place].task.cancel()
        while len(self._running) < desk.settings.at_once and not self._services.admission.draining:
            claimed = await desk.books(desk.store.claim)
            if claimed is None:
                break
            job, item = claimed
            task = asyncio.create_task(self._work(job, item), name="job-item")
            place = item.job, item.number
            self._running[place] = _Working(task, job.tenant)
            task.add_done_callback(lambda _, place=place: self._ended(place))  # type: ignore[misc]
        if progress := self._progress():
            await desk.books(desk.store.advanced, progress)

    def _ended(self, place: Place) -> None:
        del self._running[place]
        self._desk.woken.set()

    def _progress(self) -> dict[Place, Mapping[str, Any]]:
        found: dict[Place, Mapping[str, Any]] = {}
        for (job, number), working in self._running.items():
            with suppress(RequestNotFound):
                timeline = self._services.progress.of(working.tenant, _request_id(job, number))
                found[job, number] = {"stage": timeline.stage, "done": timeline.done, "total": timeline.total}
        return found

    async def _work(self, job: Job, item: Item) -> None:
        """Work on one item, and write down what became of it."""
        store, start = self._desk.store, time.monotonic()
        logs.request_id.set(_request_id(item.job, item.number))
        ended: Callable[..., Any]
        given: tuple[object, ...]
        try:
            outcome = await self._remembered(job, item)
            ended, given = (store.done, (outcome,)) if isinstance(outcome, Result) else (store.failed, (outcome,))
        except asyncio.CancelledError:
            # Of a job that goes on: the process is leaving, and the item was not at fault.
            current = await self._desk.books(store.job, job.tenant, job.id)
            if current.state != "cancelled":
                await self._desk.books(store.released, item)
                return
            ended, given = store.stopped, ()
        except MaskgateError as error:
            ended, given = store.failed, (problem_of(error),)
        except Exception as error:
            _log.error("job %s item %d failed: %s", item.job, item.number, logs.where(error))
            ended, given = (
                store.failed,
                (problem_of(Internal("The gateway failed; its log has the job and the item.")),),
            )
        await self._desk.clear(await self._desk.books(ended, item, *given))
        outcome_name = ended.__name__
        self._services.telemetry.job_items.labels(job.request.task, outcome_name).inc()
        _log.info("job %s item %d %s in %.1f s", item.job, item.number, outcome_name, time.monotonic() - start)
        await self._desk.disk(self._desk.files.journal(item.job, item.number).unlink, True)

    async def _remembered(self, job: Job, item: Item) -> Result | Mapping[str, Any]:
        """Return what `_outcome` does; what models answer is written down, and stays so if the item does not end."""
        desk = self._desk
        if not desk.settings.resume_bytes:
            return await self._outcome(job, item, None)
        path = desk.files.journal(item.job, item.number)
        journal = await desk.disk(Journal, path, desk.settings.resume_bytes)
        try:
            return await self._outcome(job, item, journal)
        finally:
            journal.close()

    async def _outcome(self, job: Job, item: Item, journal: Journal | None) -> Result | Mapping[str, Any]:
        """Return an item's result, or the problem document that it was answered with."""
        desk, files = self._desk, self._desk.files
        folder = await desk.disk(files.make)
        try:
            parts = [await self._part(name, source, folder) for name, source in item.sources.items()]
            request_id = _request_id(item.job, item.number)
            asking = Asking(self._tasks, desk.caller(job.tenant), request_id, memory=journal)
            request = replace(job.request, query=joined(job.request.query, item.query))
            while True:
                key = await self._key(item, request, parts)
                await desk.books(desk.store.keyed, item, key)
                kept = await desk.disk(files.result, job.tenant, key)
                if kept is not None:
                    return kept
                answered = await self._answered(asking, request, parts, folder / BODY)
                if answered.status != 200:
                    document: dict[str, Any] = json.loads(await desk.disk((folder / BODY).read_bytes))
                    return document
                if await self._key(item, request, parts) == key:
                    break
                # Another model is served since: nobody can say any more which of them this answer is of.
            media_type = answered.headers.get("content-type", "")
            result = Result(media_type, answered.size, answered.digest, kept_headers(answered.headers))
            return await desk.disk(files.keep, folder, job.tenant, key, result)
        finally:
            await desk.disk(files.drop_made, folder)

    async def _answered(self, asking: Asking, request: Request, parts: list[PartFile], body: Path) -> Answered:
        """Return the answer of an item's request; where there is no room for it now, ask until there is."""
        give_up = time.monotonic() + self._desk.settings.patience_seconds
        late = 0
        while True:
            with new_file(body) as file:
                answered = await asking.ask(self._desk, request, parts, file)
            late += answered.status == 504
            again = answered.status in _BUSY or (answered.status == 504 and late < _MOST_LATE)
            if not again or time.monotonic() > give_up:
                return answered
            asked = answered.headers.get("retry-after", "1")
            await asyncio.sleep(min(_LONGEST_WAIT, float(asked) if asked.isdecimal() else 1.0))

    async def _part(self, name: str, source: Source, folder: Path) -> PartFile:
        """Return a part of an item, fetched where it lies elsewhere."""
        if source.kind in ("text", "reference"):
            return PartFile(name, source.value.encode())
        if source.kind == "upload":
            return PartFile(name, self._desk.files.upload(source.value))
        path = folder / f"fetched-{name}"
        for pause in _FETCH_PAUSES:
            try:
                await fetch(self._desk.settings.stores, source.value, path, self._services.settings.limits.body_bytes)
                break
            except InputUnreachable:
                await asyncio.sleep(pause)
        else:
            await fetch(self._desk.settings.stores, source.value, path, self._services.settings.limits.body_bytes)
        return PartFile(name, path)

    async def _key(self, item: Item, request: Request, parts: list[PartFile]) -> str:
        digests = {part.name: await self._digest(part) for part in parts}
        return key_of(request, self._models(request.task), digests, item)

    async def _digest(self, part: PartFile) -> str:
        if isinstance(part.content, bytes):
            return hashlib.sha256(part.content).hexdigest()
        return await self._desk.disk(digest_of_file, part.content)

    def _models(self, task: str) -> list[tuple[str, int, str]]:
        registry = self._services.settings.registry
        ready = (
            version.model
            for status in self._services.engine.statuses()
            for version in status.versions
            if version.state == "ready"
        )
        return sorted(
            (model.name, model.version, model.digest)
            for model in ready
            if registry.task_of(model.card.task).name == task
        )


def _request_id(job: str, number: int) -> str:
    """Return by what an item's request is known while it runs."""
    return f"{job}.{number}"
