"""A worker of jobs on Temporal: fetches an item's inputs, asks a gateway, and keeps the answer, all in the bulk lane.

It computes nothing itself. Whatever dies meanwhile, itself, the gateway, S3 or Temporal, the item is begun again until
there is something written of it; and what is written is never written twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import timedelta
from json import dumps
from pathlib import Path
from typing import Any

import httpx
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from gateway.errors import MaskgateError
from gateway.jobs.archive import ITEM, Archive, Items, Place
from gateway.jobs.asking import kept_headers
from gateway.jobs.files import digest_of_file, new_file
from gateway.jobs.model import Item, Request, Result, Source, joined, key_of
from gateway.jobs.objects import Objects, chunk_of, done_of, input_of
from gateway.jobs.records import problem_of
from gateway.observability.logs import silence_addresses
from gateway.settings import Settings
from gateway.stores.access import fetch

_log = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
_LONGEST_WAIT = 30.0
_BUSY = frozenset({429, 502, 503, 504})
_PATIENCE = httpx.Timeout(None, connect=5.0)


class ItemWorker:
    """Works on items, each of which Temporal names.

    Args:
        settings: of the environment: those of jobs, and the longest body.
        http: to the gateways.
    """

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        """Begin nothing yet."""
        self._jobs = settings.jobs
        self._most = settings.limits.body_bytes
        self._objects = Objects(settings.jobs.objects or "")
        self._http = http

    @activity.defn(name=ITEM)
    async def item(self, place: Place) -> None:
        """Return when something is written of an item: its result, or the problem that it was answered with."""
        done = done_of(place.job, place.chunk, place.number)
        if await self._objects.document(done) is not None:
            return
        chunk = await self._objects.document(chunk_of(place.job, place.chunk))
        if chunk is None:
            # The job has ended meanwhile, and all of it was fetched.
            return
        given = next(item for item in chunk["items"] if item["number"] == place.number)
        sources = {name: Source(kind, value) for name, (kind, value) in given["sources"].items()}
        item = Item(place.job, place.number, "", "running", sources, given["query"])
        request = Request(**chunk["request"])
        request = Request(request.task, joined(request.query, item.query), request.accept)
        with tempfile.TemporaryDirectory(prefix="maskgate-item-") as folder:
            async with self._beating(f"{place.job}.{place.number}"):
                record = await self._record(item, request, Path(folder))
        await self._objects.put(done, dumps(record).encode())
        _log.info("job %s item %d %s", place.job, place.number, "failed" if "problem" in record else "done")

    async def _record(self, item: Item, request: Request, folder: Path) -> dict[str, Any]:
        """Return what is to be written of an item, its result kept before."""
        try:
            parts = {name: await self._part(item.job, name, source, folder) for name, source in item.sources.items()}
        except MaskgateError as error:
            return {"problem": problem_of(error)}
        digests = {name: await asyncio.to_thread(digest_of_file, path) for name, path in parts.items()}
        while True:
            key = key_of(request, await self._models(), digests, item)
            kept = await self._objects.result(item.job, key)
            if kept is None:
                answer = await self._asked(item, request, parts, folder / "body")
                if isinstance(answer, Mapping):
                    return {"problem": dict(answer)}
                if key_of(request, await self._models(), digests, item) != key:
                    continue
                kept = await self._objects.keep(item.job, key, answer, folder / "body")
            return {"key": key, "result": vars(kept)}

    async def _part(self, job: str, name: str, source: Source, folder: Path) -> Path:
        path = folder / name
        if source.kind in ("text", "reference"):
            path.write_text(source.value)
        elif source.kind == "upload":
            await self._objects.fetch(input_of(job, source.value), path)
        else:
            await fetch(self._jobs.stores, source.value, path, self._most)
        return path

    async def _asked(
        self, item: Item, request: Request, parts: Mapping[str, Path], body: Path
    ) -> Result | Mapping[str, Any]:
        """Return what a gateway answers, its body written to a file, or its problem document; ask until it has room."""
        headers = {"X-Request-ID": f"{item.job}.{item.number}"} | ({"Accept": request.accept} if request.accept else {})
        path = f"/v1/{request.task}" + (f"?{request.query}" if request.query else "")
        give_up = time.monotonic() + self._jobs.patience_seconds
        while True:
            with ExitStack() as open_:
                files = {name: ("part", open_.enter_context(file.open("rb"))) for name, file in parts.items()}
                async with self._http.stream("POST", path, files=files or None, headers=headers) as answer:
                    if answer.status_code == 200:
                        return await _written(answer, body)
                    document = await answer.aread()
            if answer.status_code not in _BUSY or time.monotonic() > give_up:
                problem: dict[str, Any] = answer.json() if document else {"status": answer.status_code}
                return problem
            asked = answer.headers.get("retry-after", "1")
            await asyncio.sleep(min(_LONGEST_WAIT, float(asked) if asked.isdecimal() else 1.0))

    async def _models(self) -> list[tuple[str, int, str]]:
        """Return name, version and digest of every model that is ready."""
        answer = (await self._http.get("/v1/models", timeout=10)).raise_for_status()
        return sorted(
            (model["name"], version["version"], version["digest"])
            for model in answer.json()["models"]
            for version in model["versions"]
            if version["state"] == "ready"
        )

    @asynccontextmanager
    async def _beating(self, request_id: str) -> AsyncIterator[None]:
        """Tell Temporal that the item is worked on while inside, and how far it is where the gateway knows."""

        async def beat() -> None:
            while True:
                far = None
                with suppress(httpx.HTTPError, ValueError):
                    answer = await self._http.get(f"/v1/progress/{request_id}", timeout=5)
                    far = answer.json() if answer.status_code == 200 else None
                activity.heartbeat(far)
                await asyncio.sleep(_BEAT_SECONDS)

        activity.heartbeat(None)
        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


async def _written(answer: httpx.Response, body: Path) -> Result:
    size, hashed = 0, hashlib.sha256()
    with new_file(body) as file:
        async for piece in answer.aiter_bytes(1 << 20):
            size += len(piece)
            hashed.update(piece)
            await asyncio.to_thread(file.write, piece)
    media_type = answer.headers.get("content-type", "")
    return Result(media_type, size, hashed.hexdigest(), kept_headers(dict(answer.headers)))


async def work(settings: Settings) -> None:
    """Work on items until cancelled; a Temporal server that is not there yet is waited for."""
    silence_addresses()
    jobs = settings.jobs
    key = {"Authorization": f"Bearer {jobs.key.get_secret_value()}"} if jobs.key else {}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=jobs.gateways, headers=key, timeout=_PATIENCE, limits=limits) as http:
        while True:
            with suppress(RuntimeError):
                client = await Client.connect(jobs.temporal, namespace=jobs.namespace)
                break
            await asyncio.sleep(1)
        worker = Worker(
            client,
            task_queue=jobs.queue,
            workflows=[Archive, Items],
            activities=[ItemWorker(settings, http).item],
            max_concurrent_activities=jobs.at_once,
            # By itself it sends a beat in eight seconds, and hears no sooner that an item is cancelled.
            max_heartbeat_throttle_interval=timedelta(seconds=_BEAT_SECONDS),
        )
        _log.info("worker begins; %d items at once", jobs.at_once)
        running = asyncio.create_task(worker.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        with suppress(asyncio.CancelledError):
            await running
