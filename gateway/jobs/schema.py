"""Jobs as JSON, coming and going."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.jobs.model import ITEM_STATES, Item, ItemState, Job, JobState, Source
from gateway.scheduling.timeline import Stage

Parameters = dict[str, str | bool | int | float | list[str | bool | int | float]]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceGiven(_Given):
    """Where a part comes from: one of these."""

    upload: str | None = Field(None, description="Id of an upload, the last step of its `Location`")
    url: str | None = Field(
        None, max_length=4096, description="In one of the stores that the gateway is set up for, https:// or s3://"
    )
    document: Any = Field(None, alias="json", description="The part itself, where it is JSON: a prompt, districts")
    reference: Any = Field(
        None,
        description="Files in these stores, of which no more is read than is needed, or a list of them, tiles of one "
        "image; of damage alone",
        examples=[{"url": "s3://archive/pre.tif"}, {"stac": "https://data.example/item.json", "asset": "visual"}],
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for value in (self.upload, self.url, self.document, self.reference)) != 1:
            raise ValueError("a part has one of upload, url, json and reference")
        return self


class ItemGiven(_Given):
    """One item: what would be one request."""

    name: str = Field("", max_length=200, description="What the caller calls it; it comes back with the item")
    parts: dict[str, SourceGiven] = Field(
        {}, description="By the names of the task's parts; none where the item's parameters say what it is about"
    )
    parameters: Parameters = Field({}, description="Of this item's query, beside those of the job")


class JobGiven(_Given):
    """A job: one task, asked of each item in the same way."""

    task: str = Field(examples=["damage"])
    parameters: Parameters = Field({}, description="Those of the task's query", examples=[{"model": "fused"}])
    accept: str = Field("", max_length=1000, description="As the header `Accept` of the task", examples=["image/png"])
    items: list[ItemGiven] = Field(min_length=1)


class ResultAnswer(BaseModel):
    """The answer of an item that is done: what its task would have answered."""

    url: str = Field(description="Where it is, until the job expires")
    media_type: str = Field(examples=["image/png"])
    bytes: int
    digest: str = Field(description="SHA-256", examples=["sha256:4f0c…"])
    headers: dict[str, str] = Field(
        description="Which model answered, and notices", examples=[{"Maskgate-Model": "fused"}]
    )


class ProgressOfItem(BaseModel):
    """How far a running item is."""

    stage: Stage
    done: int = Field(description="Slices of a CT, tiles of other images")
    total: int | None = Field(description="null: not known yet")


class ItemAnswer(BaseModel):
    """One item as it stands."""

    number: int = Field(description="0, 1, …, in the order in which they were given")
    name: str
    state: ItemState
    tries: int = Field(description="How often it was begun; more than once where the gateway ended meanwhile")
    result: ResultAnswer | None = None
    problem: dict[str, Any] | None = Field(None, description="The problem document of an item that failed")
    progress: ProgressOfItem | None = None


class JobAnswer(BaseModel):
    """A job as it stands."""

    id: str
    task: str
    state: JobState = Field(description="done: each item is done or failed")
    total: int
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int
    created: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None = Field(description="When the job and its results are forgotten; null: it has not ended")
    events: str = Field(description="Where its changes are told as they happen, as server-sent events")


class JobWithItems(JobAnswer):
    """A job and some of its items."""

    items: list[ItemAnswer]
    more: str | None = Field(description="Where the items that follow are; null: there are no more")


class JobsAnswer(BaseModel):
    """The caller's newest jobs."""

    jobs: list[JobAnswer]


def source_of(given: SourceGiven) -> Source:
    """Return where a part comes from.

    Raises:
        ValueError: what is given as JSON holds a number that JSON has not.
    """
    if given.upload is not None:
        return Source("upload", given.upload)
    if given.url is not None:
        return Source("url", given.url)
    if given.reference is not None:
        return Source("reference", json.dumps(given.reference, allow_nan=False))
    return Source("text", json.dumps(given.document, allow_nan=False))


def job_answer(job: Job) -> JobAnswer:
    """Return a job as JSON shows it."""
    return JobAnswer(**_job(job))


def job_with_items(job: Job, items: list[Item], more: str | None) -> JobWithItems:
    """Return a job and items of it as JSON shows them."""
    return JobWithItems(**_job(job), items=[item_answer(item) for item in items], more=more)


def item_answer(item: Item) -> ItemAnswer:
    """Return an item as JSON shows it."""
    result = item.result
    return ItemAnswer(
        number=item.number,
        name=item.name,
        state=item.state,
        tries=item.tries,
        result=result
        and ResultAnswer(
            url=f"/v1/jobs/{item.job}/results/{item.number}",
            media_type=result.media_type,
            bytes=result.size,
            digest=f"sha256:{result.digest}",
            headers=dict(result.headers),
        ),
        problem=dict(item.problem) if item.problem else None,
        progress=ProgressOfItem.model_validate(item.progress) if item.progress else None,
    )


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "task": job.request.task,
        "state": job.state,
        "total": job.total,
        **{state: job.counts[state] for state in ITEM_STATES},
        "created": _when(job.created),
        "started": _when(job.started),
        "ended": _when(job.ended),
        "expires": _when(job.expires),
        "events": f"/v1/jobs/{job.id}/events",
    }


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON schema, whole: of a body that FastAPI does not read it gathers no schemas of parts."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return whole(parts[value["$ref"].rpartition("/")[2]])
        return {name: whole(each) for name, each in value.items()}

    return {name: whole(value) for name, value in schema.items()}
