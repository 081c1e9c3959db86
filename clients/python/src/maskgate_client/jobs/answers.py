"""What the gateway says of jobs, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx


@dataclass(frozen=True)
class JobResult:
    """Where the answer of an item is, and what it is.

    Attributes:
        url: below the gateway's address.
        media_type: such as ``image/png``.
        size: in bytes.
        digest: ``sha256:`` and the hash of its bytes.
        model: which answered; empty where the answer names none.
        notices: what was done to what was sent, and what to beware of.
    """

    url: str
    media_type: str
    size: int
    digest: str
    model: str
    notices: tuple[str, ...]


@dataclass(frozen=True)
class JobItem:
    """One item of a job.

    Attributes:
        number: 0, 1, …, in the order in which they were given.
        name: as it was given.
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``.
        tries: how often it was begun.
        result: where it is done.
        problem: the problem document, where it failed.
        progress: stage, done and total, while it runs.
    """

    number: int
    name: str
    state: str
    tries: int
    result: JobResult | None
    problem: Mapping[str, Any] | None
    progress: Mapping[str, Any] | None


@dataclass(frozen=True)
class JobStatus:
    """A job as it stood when it was asked for.

    Attributes:
        id: by which `Client.job` finds it again.
        task: its name.
        state: ``queued``, ``running``, ``done`` or ``cancelled``; done: each item is done or failed.
        total: items in all; how many of them wait, run, are done, failed or cancelled:
        waiting: see `total`.
        running: see `total`.
        done: see `total`.
        failed: see `total`.
        cancelled: see `total`.
        created: when it was left.
        ended: when its last item ended; None: it has not.
        expires: when it and its results are forgotten; None: it has not ended.
    """

    id: str
    task: str
    state: str
    total: int
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int
    created: datetime
    ended: datetime | None
    expires: datetime | None

    @property
    def over(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.ended is not None


def read_status(response: httpx.Response) -> JobStatus:
    """Read how a job stands."""
    return status_of(response.json())


def status_of(document: Mapping[str, Any]) -> JobStatus:
    """Return how a job stands, by its JSON."""
    counts = {name: int(document[name]) for name in ("total", "waiting", "running", "done", "failed", "cancelled")}
    created, ended, expires = (
        datetime.fromisoformat(document[name]) if document[name] else None for name in ("created", "ended", "expires")
    )
    if created is None:
        raise ValueError("a job was left at some time")
    return JobStatus(
        document["id"], document["task"], document["state"], **counts, created=created, ended=ended, expires=expires
    )


def read_items(response: httpx.Response) -> tuple[tuple[JobItem, ...], str | None]:
    """Read some items of a job, and where those are that follow."""
    document = response.json()
    return tuple(item_of(item) for item in document["items"]), document["more"]


def item_of(document: Mapping[str, Any]) -> JobItem:
    """Return an item, by its JSON."""
    result = document["result"]
    if result is not None:
        headers = {name.lower(): value for name, value in result["headers"].items()}
        notices = tuple(filter(None, headers.get("maskgate-notices", "").split("; ")))
        told = (result["url"], result["media_type"], result["bytes"], result["digest"])
        result = JobResult(*told, model=headers.get("maskgate-model", ""), notices=notices)
    return JobItem(
        document["number"],
        document["name"],
        document["state"],
        document["tries"],
        result,
        document["problem"],
        document["progress"],
    )
