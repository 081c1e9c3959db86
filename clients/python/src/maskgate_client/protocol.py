"""The HTTP contract, without HTTP: what each call sends and how its answer reads.

Nothing here does any network input or output; `Client` and `AsyncClient` carry the same `Call`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
import numpy as np
from PIL.PngImagePlugin import PngImageFile

from maskgate_client.answers import (
    ClassShare,
    DamageMap,
    DamageReport,
    ModelCard,
    ModelStatus,
    Origin,
    Picture,
    Provenance,
    Region,
    Ring,
)
from maskgate_client.errors import Busy, Conflict, Failed, Problem, Rejected, SessionLost, UnexpectedAnswer
from maskgate_client.images import ImageInput, image_bytes, media_type
from maskgate_client.progress import Progress, Tell

DEFAULT_URL = "http://127.0.0.1:8080"

Part = tuple[str, bytes, str]
T = TypeVar("T")

_LOST = {"session-not-found", "session-outdated"}


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to read its answer.

    Attributes:
        method: HTTP method.
        path: below the gateway's address.
        accept: media type asked for.
        read: turns an answer of one of `statuses` into a value.
        params: query.
        files: multipart parts: name → (file name, bytes, media type).
        json: the body, where it is JSON.
        statuses: the statuses that are answers and not problems.
        progress: is told how far it is, while it waits.
        seconds: how long the answer may take; None: as long as the client waits for others.
        request_id: what the gateway knows it by while it runs, also where it is sent again.
    """

    method: str
    path: str
    accept: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Part] | None = None
    json: Mapping[str, Any] | None = None
    statuses: tuple[int, ...] = (200,)
    progress: Tell | None = None
    seconds: float | None = None
    request_id: str = field(default_factory=lambda: uuid4().hex)

    def result(self, response: httpx.Response) -> T:
        """Return what `response` says.

        Raises:
            Problem: the gateway says why it did not do it.
            UnexpectedAnswer: the answer is not one of Maskgate's.
        """
        if response.status_code >= 400 and response.status_code not in self.statuses:
            raise read_problem(response)
        if response.status_code not in self.statuses:
            raise UnexpectedAnswer(f"{self.path} answered with HTTP {response.status_code}")
        given = response.headers.get("content-type", "").partition(";")[0].strip()
        if self.accept not in ("*/*", given):
            raise UnexpectedAnswer(f"expected {self.accept} from {self.path}, got {given or 'no media type'}")
        try:
            return self.read(response)
        except (KeyError, TypeError, ValueError, AttributeError, OSError, SyntaxError) as error:
            raise UnexpectedAnswer(f"cannot read the answer from {self.path}: {error!r}") from error


def damage(pre: ImageInput, post: ImageInput, model: str | None, version: int | None) -> Call[DamageMap]:
    """Ask for the label map of a pair."""
    return _damage(pre, post, model, version, "image/png", _read_map, {})


def damage_report(
    pre: ImageInput, post: ImageInput, model: str | None, version: int | None, include: Sequence[Picture]
) -> Call[DamageReport]:
    """Ask for the buildings of a pair, and for pictures in the same answer."""
    return _damage(pre, post, model, version, "application/json", _read_report, {"include": include} if include else {})


def damage_overlay(pre: ImageInput, post: ImageInput, model: str | None, version: int | None) -> Call[bytes]:
    """Ask for the label map drawn over the post image, as a PNG file."""
    return _damage(pre, post, model, version, "image/png", lambda response: response.content, {"overlay": "true"})


def models() -> Call[tuple[ModelStatus, ...]]:
    """Ask which models there are."""
    return Call("GET", "/v1/models", "application/json", _read_models)


def card(name: str) -> Call[ModelCard]:
    """Ask for the card of one model."""
    return Call("GET", f"/v1/models/{quote(name, safe='')}", "application/json", _read_card)


def ready() -> Call[bool]:
    """Ask whether the gateway takes work now; its 503 is an answer here, not a problem."""
    return Call("GET", "/readyz", "*/*", lambda response: response.status_code == 200, statuses=(200, 503))


def progress(request_id: str) -> Call[Progress | None]:
    """Ask how far a call is; None: the gateway does not know (yet)."""
    return Call("GET", f"/v1/progress/{request_id}", "*/*", _read_progress, statuses=(200, 404))


def chosen(model: str | None, version: int | None, threshold: float | None = None) -> dict[str, str | Sequence[str]]:
    """Return the query that names a model and its version, and a threshold."""
    named = {"model": model or None, "version": version, "threshold": threshold}
    return {name: str(value) for name, value in named.items() if value is not None}


def included(include: Sequence[str]) -> dict[str, str | Sequence[str]]:
    """Return the query that asks for more in a JSON answer."""
    return {"include": include} if include else {}


def image_part(image: ImageInput) -> dict[str, Part]:
    """Return the one part of a body that is an image; the user's file name stays at home."""
    data = image_bytes(image)
    return {"image": ("image", data, media_type(data))}


def read_problem(response: httpx.Response) -> Problem:
    """Return the error that `response` stands for, also where something before the gateway wrote it."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    status = response.status_code
    code = str(document.get("code", f"http-{status}"))
    kind = _kind(status, code)
    retry_after = response.headers.get("retry-after", "")
    limit = document.get("limit")
    return kind(
        status=status,
        code=code,
        title=str(document.get("title") or response.reason_phrase or f"HTTP {status}"),
        detail=str(document.get("detail", "")),
        request_id=document.get("request_id") or response.headers.get("x-request-id"),
        retryable=bool(document.get("retryable", kind is Busy)),
        retry_after=int(retry_after) if retry_after.isdecimal() else None,
        limit=limit if isinstance(limit, int) else None,
    )


def _kind(status: int, code: str) -> type[Problem]:
    """Return the error that a status and a code stand for."""
    if code in _LOST:
        return SessionLost
    if status >= 500 or status == 429:
        return Busy if status in (429, 503) else Failed
    return Conflict if status == 409 else Rejected


def _damage(
    pre: ImageInput,
    post: ImageInput,
    model: str | None,
    version: int | None,
    accept: str,
    read: Callable[[httpx.Response], T],
    params: dict[str, str | Sequence[str]],
) -> Call[T]:
    """Return a call with both images; the user's file names stay at home."""
    parts = {role: image_bytes(image) for role, image in (("pre", pre), ("post", post))}
    files = {role: (role, data, media_type(data)) for role, data in parts.items()}
    return Call("POST", "/v1/damage", accept, read, params | chosen(model, version), files)


def _read_map(response: httpx.Response) -> DamageMap:
    """Read an indexed PNG and the headers beside it."""
    # Not Image.open: its guard against large pictures would refuse the largest the gateway serves.
    with PngImageFile(BytesIO(response.content)) as picture:
        picture.load()
        colours = picture.getpalette("RGB")
        if picture.mode != "P" or colours is None:
            raise ValueError(f"not an indexed PNG but {picture.mode}")
        labels = np.array(picture)
    palette = np.array(colours, np.uint8).reshape(-1, 3)
    notices = response.headers.get("maskgate-notices")
    origin = _read_origin(response.headers)
    return DamageMap(labels, palette, response.content, tuple(notices.split("; ")) if notices else (), origin)


def _read_origin(headers: httpx.Headers) -> Origin:
    """Read who answered, and how long it took (``decode;dur=12.3, infer;dur=80``)."""
    timing = {}
    for entry in headers.get("server-timing", "").split(","):
        name, _, milliseconds = entry.partition(";dur=")
        if milliseconds:
            timing[name.strip()] = float(milliseconds)
    return Origin(
        model=headers["maskgate-model"],
        version=int(headers["maskgate-version"]),
        digest=headers["maskgate-digest"],
        request_id=headers["x-request-id"],
        timing=timing,
    )


def _read_report(response: httpx.Response) -> DamageReport:
    """Read the JSON answer."""
    return DamageReport(**labelled(response.json()))


def labelled(document: dict[str, Any]) -> dict[str, Any]:
    """Read what the reports on a label map have in common, by attribute; `document` loses its pictures."""
    return {
        "model": document["model"],
        "width": document["width"],
        "height": document["height"],
        "classes": tuple(read_class(entry) for entry in document["classes"]),
        "regions": tuple(read_region(entry) for entry in document["regions"]),
        "notices": tuple(document["notices"]),
        "provenance": Provenance(**{key: document["provenance"][key] for key in Provenance.__dataclass_fields__}),
        "pictures": {name: b64decode(data, validate=True) for name, data in document.pop("pictures", {}).items()},
        "document": document,
    }


def read_class(entry: dict[str, Any]) -> ClassShare:
    """Read one of `classes`."""
    red, green, blue = entry["colour"]
    return ClassShare(entry["value"], entry["name"], (red, green, blue), entry["pixels"], entry["share"])


def read_region(entry: dict[str, Any]) -> Region:
    """Read one of `regions`."""
    x0, y0, x1, y1 = entry["box"]
    return Region(
        polygon=read_ring(entry["polygon"]),
        holes=tuple(read_ring(hole) for hole in entry["holes"]),
        value=entry["class"],
        name=entry["name"],
        area=entry["area"],
        confidence=entry["confidence"],
        box=(x0, y0, x1, y1),
    )


def read_ring(points: list[list[int]]) -> Ring:
    """Read a list of [x, y]."""
    return tuple((x, y) for x, y in points)


def _read_progress(response: httpx.Response) -> Progress | None:
    """Read how far a call is; a gateway that answers 404 shows none, or this one no more."""
    document = response.json()
    if response.status_code == 404 or document["total"] is None:
        return None
    return Progress(document["stage"], document["done"], document["total"])


def _read_models(response: httpx.Response) -> tuple[ModelStatus, ...]:
    """Read the list of models."""
    return tuple(_read_status(entry) for entry in response.json()["models"])


def _read_status(entry: dict[str, Any]) -> ModelStatus:
    """Read how one model stands; only its name and state are always there."""
    return ModelStatus(
        name=entry["name"],
        state=entry["state"],
        reason=entry.get("reason", ""),
        task=entry.get("task"),
        version=entry.get("version"),
        digest=entry.get("digest"),
    )


def _read_card(response: httpx.Response) -> ModelCard:
    """Read one model's card."""
    document = response.json()
    return ModelCard(_read_status(document), document.get("card"))
