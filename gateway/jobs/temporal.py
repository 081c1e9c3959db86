"""The engine Temporal of jobs: the gateway hands items on, and fetches what workers made of them.

The books stay where they are, and answer for jobs as they do with the embedded engine; so do the results, once they are
fetched. In between, an archive goes on without the gateway: workflow, inputs and results are elsewhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from obstore.exceptions import BaseError
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import ItemLost
from gateway.http.request_path import Services
from gateway.jobs.archive import CHUNK, Archive
from gateway.jobs.desk import Desk
from gateway.jobs.files import BODY
from gateway.jobs.foreman import Foreman
from gateway.jobs.model import Item, Job, Result
from gateway.jobs.objects import Objects, chunk_of, done_of, input_of
from gateway.jobs.records import problem_of

_log = logging.getLogger(__name__)

_MOST_STARTS = 3


@dataclass
class _Handed:
    """A job that was handed on.

    Attributes:
        starts: how often.
        cancelled: whether its workflow was told to end.
    """

    starts: int = 0
    cancelled: bool = False


class TemporalForeman(Foreman):
    """Hands jobs on to Temporal.

    Args:
        desk: with the jobs.
        services: of the app.
    """

    def __init__(self, desk: Desk, services: Services) -> None:
        """Connect to nothing yet."""
        super().__init__(desk, services)
        self.look_seconds = 1.0
        self._objects = Objects(desk.settings.objects or "")
        self._client: Client | None = None
        self._handed: dict[str, _Handed] = {}

    async def _look(self) -> None:
        try:
            client = self._client = self._client or await self._connect()
            for job in await self._desk.books(self._desk.store.open_jobs):
                await self._see_to(client, job)
        except (RPCError, RuntimeError, BaseError) as error:
            # Away for a while, Temporal or S3: what was handed on goes on, and all else waits.
            raise OSError("jobs cannot be handed on") from error

    async def _recover(self) -> None:
        """Do nothing: what workers lose, Temporal hands on again."""

    async def _leave(self) -> None:
        """Let everything go on."""

    async def _connect(self) -> Client:
        settings = self._desk.settings
        return await Client.connect(settings.temporal, namespace=settings.namespace)

    async def _see_to(self, client: Client, job: Job) -> None:
        """Hand a job on, or take in what became of its items; end it where its workflow has ended."""
        store = self._desk.store
        handed = self._handed.setdefault(job.id, _Handed())
        items = await self._desk.books(store.open_items, job.id)
        handle = client.get_workflow_handle(job.id)
        if not handed.starts:
            await self._hand_on(client, job, items, handed)
        if job.state == "cancelled" and not handed.cancelled:
            await handle.cancel()
            handed.cancelled = True
        over = await _over(handle)
        # Asked before what is there is looked at: what ends in between is seen the next time.
        left = await self._take_in(client, job, items, pending=not over)
        if left and over:
            await self._end(client, job, left, handed)
            left = []
        if not left and not await self._desk.books(store.open_items, job.id):
            await self._clear(job)

    async def _hand_on(self, client: Client, job: Job, items: list[Item], handed: _Handed) -> None:
        """Put what the items need into the bucket, and start the workflow; both are there already where they were."""
        handed.starts += 1
        uploads = {s.value for item in items for s in item.sources.values() if s.kind == "upload"}
        for upload in uploads:
            await self._objects.put(input_of(job.id, upload), self._desk.files.upload(upload))
        for number in range(-(-job.total // CHUNK)):
            whole = await self._desk.books(self._desk.store.items, job.id, number * CHUNK, CHUNK)
            document = {"request": vars(job.request), "items": [_written(item) for item in whole]}
            await self._objects.put(chunk_of(job.id, number), json.dumps(document).encode())
        try:
            await client.start_workflow(
                Archive.run, args=[job.id, job.total], id=job.id, task_queue=self._desk.settings.queue
            )
        except WorkflowAlreadyStartedError:
            return

    async def _take_in(self, client: Client, job: Job, items: list[Item], *, pending: bool) -> list[Item]:
        """Write down what became of items; return those of which nothing is known yet."""
        left: list[Item] = []
        for number in sorted({item.number // CHUNK for item in items}):
            those = [item for item in items if item.number // CHUNK == number]
            if left and pending:
                # Chunks follow each other.
                left += those
                continue
            there = {name.rpartition("/")[2] for name in await self._objects.names(done_of(job.id, number))}
            for item in those:
                if f"{item.number}.json" in there:
                    record = await self._objects.document(done_of(job.id, number, item.number))
                    await self._settle(job, item, record or {})
                else:
                    left.append(item)
        if pending and left:
            await self._show(client, job, left)
        return left

    async def _settle(self, job: Job, item: Item, record: Mapping[str, Any]) -> None:
        """Write down what became of an item; its result is fetched first."""
        desk = self._desk
        if "problem" in record:
            await desk.clear(await desk.books(desk.store.failed, item, record["problem"]))
        else:
            key, result = record["key"], Result(**record["result"])
            await desk.books(desk.store.keyed, item, key)
            if await desk.disk(desk.files.result, job.tenant, key) is None:
                folder = await desk.disk(desk.files.make)
                try:
                    await self._objects.body(job.id, result, folder / BODY)
                    await desk.disk(desk.files.keep, folder, job.tenant, key, result)
                finally:
                    await desk.disk(desk.files.drop_made, folder)
            await desk.clear(await desk.books(desk.store.done, item, result))
        outcome = "failed" if "problem" in record else "done"
        self._services.telemetry.job_items.labels(job.request.task, outcome).inc()
        _log.info("job %s item %d %s", item.job, item.number, outcome)

    async def _show(self, client: Client, job: Job, left: list[Item]) -> None:
        """Write down which items are worked on, and how far they are: their workers' heartbeats say it."""
        chunk = left[0].number // CHUNK
        try:
            described = await client.get_workflow_handle(f"{job.id}-{chunk}").describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return
            raise
        open_ = {item.number: item for item in left}
        begun: dict[int, int] = {}
        far: dict[tuple[str, int], Mapping[str, Any]] = {}
        for activity in described.raw_description.pending_activities:
            number = int(activity.activity_id)
            if activity.state != PendingActivityState.PENDING_ACTIVITY_STATE_STARTED or number not in open_:
                continue
            if open_[number].state == "waiting":
                begun[number] = activity.attempt
            for payload in activity.heartbeat_details.payloads:
                if payload.data and (said := json.loads(payload.data)):
                    far[job.id, number] = said
        if begun and job.state != "cancelled":
            await self._desk.books(self._desk.store.begun, job.id, begun)
        if far:
            await self._desk.books(self._desk.store.advanced, far)

    async def _end(self, client: Client, job: Job, left: list[Item], handed: _Handed) -> None:
        """End items of which nothing was written though their workflow is over: begin anew, give up, or cancel them."""
        if job.state == "cancelled":
            for item in left:
                await self._desk.clear(await self._desk.books(self._desk.store.stopped, item))
        elif handed.starts < _MOST_STARTS:
            await self._hand_on(client, job, left, handed)
        else:
            lost = problem_of(ItemLost("Its workers lost the item as often as it was begun."))
            for item in left:
                await self._desk.clear(await self._desk.books(self._desk.store.failed, item, lost))

    async def _clear(self, job: Job) -> None:
        """Delete what lies in the bucket of a job that has ended: all of it was fetched."""
        await self._objects.drop(*await self._objects.names(f"jobs/{job.id}/"))
        del self._handed[job.id]


async def _over(handle: WorkflowHandle[Any, Any]) -> bool:
    """Return whether a workflow has ended, however it did."""
    try:
        return (await handle.describe()).status != WorkflowExecutionStatus.RUNNING
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return True
        raise


def _written(item: Item) -> dict[str, Any]:
    sources = {name: [source.kind, source.value] for name, source in item.sources.items()}
    return {"number": item.number, "query": item.query, "sources": sources}
