"""What a job is: items of one task, each with the parts of a request, and what became of it."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gateway import __version__

JobState = Literal["queued", "running", "done", "cancelled"]
ItemState = Literal["waiting", "running", "done", "failed", "cancelled"]
ITEM_STATES: tuple[ItemState, ...] = get_args(ItemState)
SourceKind = Literal["upload", "url", "text", "reference"]

_ID = re.compile(r"[A-Za-z0-9_-]{32}")


def new_id() -> str:
    """Return an id that nobody can guess: 192 random bits, URL-safe."""
    return secrets.token_urlsafe(24)


def is_id(text: str) -> bool:
    """Return whether `text` could be an id, and so is fit to be a file's name."""
    return _ID.fullmatch(text) is not None


def joined(query: str, more: str) -> str:
    """Return two encoded queries as one."""
    return "&".join(filter(None, (query, more)))


@dataclass(frozen=True)
class Source:
    """Where one part of an item comes from.

    Attributes:
        kind: which of them `value` is.
        value: the id of an upload, an address in a store, or the text itself, which may be references that the task
            reads by.
    """

    kind: SourceKind
    value: str


Sources = Mapping[str, Source]
"""Where the parts of one item come from, by the names of the task's parts."""


@dataclass(frozen=True)
class Wanted:
    """One item of a job that is to be.

    Attributes:
        sources: where its parts come from; empty: its parameters say.
        name: what the caller calls it.
        query: of the task's route, encoded, beside the job's.
    """

    sources: Sources
    name: str = ""
    query: str = ""


@dataclass(frozen=True)
class Result:
    """An answer that is kept.

    Attributes:
        media_type: of the body.
        size: of the body, in bytes.
        digest: SHA-256 of the body, hexadecimal.
        headers: of the answer: which model answered, and what is to be known of it.
    """

    media_type: str
    size: int
    digest: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """What is asked of every item of a job.

    Attributes:
        task: its name.
        query: of the task's route, encoded.
        accept: the `Accept` header; empty: none.
    """

    task: str
    query: str = ""
    accept: str = ""


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was looked at.

    Attributes:
        id: 192 random bits.
        tenant: whose it is.
        request: what is asked of each item.
        state: of the whole; one is cancelled once it is told to, though an item may take a moment to end.
        counts: items by state.
        created: seconds since the epoch; so are the others.
        started: when the first item began.
        ended: when the last one ended.
        expires: when job and results are forgotten.
        revision: how often anything of it changed.
    """

    id: str
    tenant: str
    request: Request
    state: JobState
    counts: Mapping[ItemState, int]
    created: float
    started: float | None
    ended: float | None
    expires: float | None
    revision: int

    @property
    def total(self) -> int:
        """How many items it has."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Item:
    """One item of a job as it stood when it was looked at.

    Attributes:
        job: id of the job.
        number: 0, 1, …: its place in the job.
        name: what the caller calls it; empty: nothing.
        state: of the item.
        sources: where its parts come from; empty: its parameters say.
        query: of the task's route, encoded, beside the job's.
        tries: how often it was begun.
        revision: of the job, when it changed last.
        key: of its result; empty: not known yet.
        result: where it is done.
        problem: the problem document, where it failed.
        progress: stage, done and total, while it runs.
    """

    job: str
    number: int
    name: str
    state: ItemState
    sources: Sources = field(default_factory=dict)
    query: str = ""
    tries: int = 0
    revision: int = 0
    key: str = ""
    result: Result | None = None
    problem: Mapping[str, Any] | None = None
    progress: Mapping[str, Any] | None = None


def key_of(request: Request, models: Sequence[tuple[str, int, str]], digests: Mapping[str, str], item: Item) -> str:
    """Return the key of a result: of all that it depends on, so that equal keys mean equal answers.

    Args:
        request: the item's parameters among them.
        models: name, version and digest of all that may answer: which of them does, the route decides.
        digests: of the parts, by name. What an item without parts depends on, or one with references, is nowhere here,
            so its result is its own.
        item: the item.
    """
    alone = not digests or any(source.kind == "reference" for source in item.sources.values())
    said = [__version__, *vars(request).values(), models, [item.job, item.number] if alone else digests]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
