"""The HTTP contract of interactive segmentation, without HTTP: one image and its prompts, or a session."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import httpx

from maskgate_client.images import ImageInput
from maskgate_client.masks import (
    Corners,
    Extra,
    MaskProvenance,
    MaskReport,
    ObjectMask,
    Part,
    RunLengths,
    SessionState,
)
from maskgate_client.prompts import Prompt
from maskgate_client.protocol import Call, chosen, image_part, included, read_ring

Which = Literal["new"] | int | None
"""The object that a click is for: a new one, that of a number, or the one clicked last."""

_JSON = "application/json"
_SESSIONS = "/v1/interactive/sessions"


def segment(
    image: ImageInput,
    prompts: Sequence[Prompt],
    model: str | None,
    version: int | None,
    threshold: float | None,
    include: Sequence[Extra],
) -> Call[MaskReport]:
    """Ask for the objects that prompts show in an image."""
    documents = [prompt.document() for prompt in prompts]
    document = documents[0] if len(documents) == 1 else {"objects": documents}
    text = json.dumps(document, allow_nan=False).encode()
    files = image_part(image) | {"prompt": ("prompt", text, _JSON)}
    params = chosen(model, version, threshold) | included(include)
    return Call("POST", "/v1/interactive", _JSON, _read_report, params, files)


def begin(image: ImageInput, model: str | None, version: int | None, threshold: float | None) -> Call[SessionState]:
    """Begin a session with an image."""
    params = chosen(model, version, threshold)
    return Call("POST", _SESSIONS, _JSON, _read_state, params, image_part(image), statuses=(201,))


def add(session: str, prompt: Prompt, which: Which) -> Call[ObjectMask]:
    """Add a prompt, or a part of one, to an object."""
    body = prompt.document() | ({} if which is None else {"object": which})
    return Call("POST", f"{_address(session)}/clicks", _JSON, _read_object, json=body)


def undo(session: str) -> Call[ObjectMask | None]:
    """Take back what was added last; the answer is the object that was clicked before it, if any."""
    return Call("DELETE", f"{_address(session)}/clicks/last", _JSON, _read_last)


def reset(session: str) -> Call[SessionState]:
    """Take back everything that was added."""
    return Call("DELETE", f"{_address(session)}/clicks", _JSON, _read_state)


def report(session: str, include: Sequence[Extra]) -> Call[MaskReport]:
    """Ask for all objects of a session."""
    return Call("GET", f"{_address(session)}/mask", _JSON, _read_report, included(include))


def state(session: str) -> Call[SessionState]:
    """Ask how a session stands."""
    return Call("GET", _address(session), _JSON, _read_state)


def end(session: str) -> Call[None]:
    """End a session."""
    return Call("DELETE", _address(session), "*/*", lambda _: None, statuses=(204,))


def _address(session: str) -> str:
    return f"{_SESSIONS}/{quote(session, safe='')}"


def _read_report(response: httpx.Response) -> MaskReport:
    """Read the objects of an image."""
    document = response.json()
    pictures = document.pop("pictures", {})
    return MaskReport(
        model=document["model"],
        width=document["width"],
        height=document["height"],
        objects=tuple(_read_entry(entry) for entry in document["objects"]),
        notices=tuple(document["notices"]),
        provenance=MaskProvenance(**{key: document["provenance"][key] for key in MaskProvenance.__dataclass_fields__}),
        pictures={name: b64decode(data, validate=True) for name, data in pictures.items()},
        coco=document.pop("coco", None),
        document=document,
    )


def _read_object(response: httpx.Response) -> ObjectMask:
    """Read the object that was clicked; its number in the session is in a header."""
    (entry,) = response.json()["objects"]
    return replace(_read_entry(entry), value=int(response.headers["maskgate-object"]))


def _read_last(response: httpx.Response) -> ObjectMask | None:
    """Read the object that was clicked before, if any is left."""
    return _read_object(response) if response.json()["objects"] else None


def _read_entry(entry: dict[str, Any]) -> ObjectMask:
    """Read one of `objects`."""
    height, width = entry["rle"]["size"]
    return ObjectMask(
        value=entry["value"],
        rle=RunLengths.read(height, width, entry["rle"]["counts"]),
        parts=tuple(
            Part(read_ring(part["polygon"]), tuple(read_ring(hole) for hole in part["holes"]), part["area"])
            for part in entry["polygons"]
        ),
        box=_read_corners(entry["box"]),
        area=entry["area"],
        score=entry["score"],
        threshold=entry["threshold"],
        crop=_read_corners(entry["crop"]),
        notices=tuple(entry["notices"]),
    )


def _read_corners(corners: Sequence[int] | None) -> Corners | None:
    if corners is None:
        return None
    x0, y0, x1, y1 = corners
    return x0, y0, x1, y1


def _read_state(response: httpx.Response) -> SessionState:
    """Read how a session stands."""
    document = response.json()
    fields = {key: document[key] for key in SessionState.__dataclass_fields__}
    several = {"objects": tuple(fields["objects"]), "notices": tuple(fields["notices"])}
    return SessionState(**fields | several | {"expires": datetime.fromisoformat(fields["expires"])})
