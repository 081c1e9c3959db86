"""What is asked of the gateway itself: its models, whether it takes work, how far a call is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from maskgate_client.answers import ModelCard, ModelStatus
from maskgate_client.call import JSON, Call
from maskgate_client.progress import Progress


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
