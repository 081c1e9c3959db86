"""What is asked of the gateway itself: its tasks and models, whether it takes work, how far a call is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from maskgate_client.answers import ModelCard, ModelStatus
from maskgate_client.call import JSON, Call
from maskgate_client.progress import Progress


@dataclass(frozen=True)
class TaskPart:
    """One part of what a task is sent.

    Attributes:
        name: of the form field, and of the argument of `Client.ask`.
        description: what it is to be.
        required: whether the task cannot do without.
        media_types: what it may be.
    """

    name: str
    description: str
    required: bool
    media_types: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """What a gateway can be asked to do.

    Attributes:
        name: ``/v1/<name>``.
        title: one line for people.
        parts: what it is sent.
        formats: media types of its answers, the default first.
        answer: ``label map``, ``scores`` or ``masks``: what its reports are about.
        default_model: answers where no other is named.
    """

    name: str
    title: str
    parts: tuple[TaskPart, ...]
    formats: tuple[str, ...]
    answer: str
    default_model: str


def tasks() -> Call[tuple[Task, ...]]:
    """Return what the gateway can be asked to do."""
    return Call("GET", "/v1/tasks", JSON, _read_tasks)


def models() -> Call[tuple[ModelStatus, ...]]:
    """Return the models the gateway knows."""
    return Call("GET", "/v1/models", JSON, _read_models)


def card(name: str) -> Call[ModelCard]:
    """Return the card of the model `name`."""
    return Call("GET", f"/v1/models/{quote(name, safe='')}", JSON, _read_card)


def ready() -> Call[bool]:
    """Return whether the gateway takes work now."""
    # Its 503 is an answer here, not a problem.
    return Call("GET", "/readyz", "*/*", lambda response: response.status_code == 200, statuses=(200, 503))


def progress(request_id: str) -> Call[Progress | None]:
    """Return how far a call is; None: the gateway does not know (yet)."""
    return Call("GET", f"/v1/progress/{request_id}", "*/*", _read_progress, statuses=(200, 404))


def _read_tasks(response: httpx.Response) -> tuple[Task, ...]:
    return tuple(_read_task(entry) for entry in response.json()["tasks"])


def _read_task(entry: Mapping[str, Any]) -> Task:
    return Task(
        name=entry["name"],
        title=entry["title"],
        parts=tuple(
            TaskPart(part["name"], part["description"], part["required"], tuple(part["media_types"]))
            for part in entry["parts"]
        ),
        formats=tuple(entry["formats"]),
        answer=entry["answer"],
        default_model=entry["default_model"],
    )


def _read_models(response: httpx.Response) -> tuple[ModelStatus, ...]:
    return tuple(_read_status(entry) for entry in response.json()["models"])


def _read_status(entry: Mapping[str, Any]) -> ModelStatus:
    """Read how one model stands; only its name and state are always there."""
    optional = {name: entry.get(name) for name in ("task", "version", "digest")}
    return ModelStatus(name=entry["name"], state=entry["state"], reason=entry.get("reason", ""), **optional)


def _read_card(response: httpx.Response) -> ModelCard:
    document = response.json()
    return ModelCard(_read_status(document), document.get("card"))


def _read_progress(response: httpx.Response) -> Progress | None:
    """Read how far a call is; a gateway that answers 404 shows none, or this one no more."""
    document = response.json()
    if response.status_code == 404 or document["total"] is None:
        return None
    return Progress(document["stage"], document["done"], document["total"])
