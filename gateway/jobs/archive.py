"""A job as Temporal's workflows: an archive of chunks, and per item of a chunk an activity.

Workflows hold no more than numbers. What items are, and what became of them, lies in S3 (`gateway/jobs/objects.py`), so
that neither Temporal's history nor its retention bounds a job.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

CHUNK = 100
"""Items of one chunk."""

ITEM = "maskgate-item"
"""Name of the activity that works on one item."""

HEARTBEAT_SECONDS = 10
"""A worker that says nothing of an item for so long is dead, and another begins it again."""

_AT_ONCE = 20
_LONGEST = timedelta(hours=6)


@dataclass
class Chunk:
    """Items of one job.

    Attributes:
        job: id of the job.
        number: of the chunk, from 0.
        count: how many items.
    """

    job: str
    number: int
    count: int


@dataclass
class Place:
    """One item: chunk and number, both within the job."""

    job: str
    chunk: int
    number: int


@workflow.defn(name="maskgate-archive")
class Archive:
    """All chunks of a job, one after the other, which keeps jobs that came first ahead."""

    @workflow.run
    async def run(self, job: str, count: int) -> None:
        """Return when every item has ended, or was tried as often as is worth it."""
        for number in range(-(-count // CHUNK)):
            chunk = Chunk(job, number, min(CHUNK, count - number * CHUNK))
            await workflow.execute_child_workflow(Items.run, chunk, id=f"{job}-{number}")


@workflow.defn(name="maskgate-chunk")
class Items:
    """The items of one chunk, side by side."""

    @workflow.run
    async def run(self, chunk: Chunk) -> None:
        """Return when every item of the chunk has ended."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with room:
                try:
                    await workflow.execute_activity(
                        ITEM,
                        Place(chunk.job, chunk.number, number),
                        activity_id=str(number),
                        start_to_close_timeout=_LONGEST,
                        heartbeat_timeout=timedelta(seconds=HEARTBEAT_SECONDS),
                        retry_policy=RetryPolicy(
                            initial_interval=timedelta(seconds=1),
                            maximum_interval=timedelta(seconds=30),
                            maximum_attempts=30,
                        ),
                    )
                except ActivityError as error:
                    # The gateway sees that nothing was written of the item, and says so.
                    if is_cancelled_exception(error):
                        raise

        first = chunk.number * CHUNK
        await asyncio.gather(*(one(number) for number in range(first, first + chunk.count)))
