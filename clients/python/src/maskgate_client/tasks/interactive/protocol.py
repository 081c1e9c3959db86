"""The HTTP contract of interactive segmentation, without HTTP: one image and its prompts, or a session."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import httpx

from maskgate_client.answers import read_fields, read_ring, take_files
from maskgate_client.call import JSON, Call, image_part, query
from maskgate_client.images import ImageInput
from maskgate_client.tasks.interactive.answers import (
    Candidate,
    Corners,
    Extra,
    MaskProvenance,
    MaskReport,
    ObjectMask,
    Part,
    RunLengths,
    SessionState,
)
from maskgate_client.tasks.interactive.prompts import Prompt

Which = Literal["new"] | int | None
"""The object that a click is for: a new one, that of a number, or the one clicked last."""

_SESSIONS = "/v1/interactive/sessions"


def segment(
    image: ImageInput,
    *prompts: Prompt,
    model: str | None = None,
    version: int | None = None,
    threshold: float | None = None,
    include: Sequence[Extra] = (),
    simplify: float | None = None,
    holes: Literal["keep", "fill"] | None = None,
    largest: bool | None = None,
    overlap: Literal["cut", "keep"] | None = None,
) -> Call[MaskReport]:
    """Return the objects that `prompts` show in an image, and the pictures or the COCO file to `include`.

    Pixels of a probability above `threshold` are an object's; by default the model's own counts. `simplify` are the
    pixels by which outlines may be off, `holes` may be filled, the `largest` part alone be kept, and where objects
    overlap, each be kept whole.
    """
    documents = [prompt.document() for prompt in prompts]
    document = documents[0] if len(documents) == 1 else {"objects": documents}
    text = json.dumps(document, allow_nan=False).encode()
    files = image_part("image", image) | {"prompt": ("prompt", text, JSON)}
    params = query(
        model=model,
        version=version,
        threshold=threshold,
        include=include,
        simplify=simplify,
        holes=holes,
        largest=largest,
        overlap=overlap,
    )
    return Call("POST", "/v1/interactive", JSON, read_masks, params, files)


def interactive(
    image: ImageInput, *, model: str | None = None, version: int | None = None, threshold: float | None = None
) -> Call[SessionState]:
    """Send an image once, and click on it inside the block; however that is left, the session ends.

    A session that cannot be ended, because the gateway is away, ends by itself when nobody uses it.
    """
    params = query(model=model, version=version, threshold=threshold)
    return Call("POST", _SESSIONS, JSON, _read_state, params, image_part("image", image), statuses=(201,))


def add(session: str, prompt: Prompt, which: Which) -> Call[ObjectMask]:
    """Add a prompt, or a part of one, to an object."""
    body = prompt.document() | ({} if which is None else {"object": which})
    return Call("POST", f"{_address(session)}/clicks", JSON, _read_object, json=body)


def undo(session: str, value: int | None = None) -> Call[ObjectMask | None]:
    """Take back what was added last, or to an object; the answer is what is left of that object, if anything."""
    return Call("DELETE", f"{_address(session)}/clicks/last", JSON, _read_last, query(object=value))


def reset(session: str) -> Call[None]:
    """Take back everything that was added."""
    return Call("DELETE", f"{_address(session)}/clicks", JSON, _read_emptied)


def report(session: str, include: Sequence[Extra]) -> Call[MaskReport]:
    """Ask for all objects of a session."""
    return Call("GET", f"{_address(session)}/mask", JSON, read_masks, query(include=include))


def state(session: str) -> Call[SessionState]:
    """Ask how a session stands."""
    return Call("GET", _address(session), JSON, _read_state)


def end(session: str) -> Call[None]:
    """End a session."""
    return Call("DELETE", _address(session), "*/*", lambda _: None, statuses=(204,))


def read_masks(response: httpx.Response) -> MaskReport:
    """Read the objects of an image."""
    document = response.json()
    pictures = take_files(document, "pictures")
    return MaskReport(
        **{key: document[key] for key in ("model", "width", "height")},
        objects=tuple(_read_entry(entry) for entry in document["objects"]),
        notices=tuple(document["notices"]),
        provenance=read_fields(MaskProvenance, document["provenance"]),
        pictures=pictures,
        coco=document.pop("coco", None),
        document=document,
    )


def _address(session: str) -> str:
    return f"{_SESSIONS}/{quote(session, safe='')}"


def _read_object(response: httpx.Response) -> ObjectMask:
    """Read the object that was clicked; its number in the session is in a header."""
    (entry,) = response.json()["objects"]
    return replace(_read_entry(entry), value=int(response.headers["maskgate-object"]))


def _read_last(response: httpx.Response) -> ObjectMask | None:
    """Read what is left of the object that a step was taken back of, if anything."""
    return _read_object(response) if response.json()["objects"] else None


def _read_entry(entry: Mapping[str, Any]) -> ObjectMask:
    """Read one of `objects`."""
    height, width = entry["rle"]["size"]
    return ObjectMask(
        **{key: entry[key] for key in ("value", "area", "score", "threshold")},
        rle=RunLengths.read(height, width, entry["rle"]["counts"]),
        parts=tuple(
            Part(read_ring(part["polygon"]), tuple(read_ring(hole) for hole in part["holes"]), part["area"])
            for part in entry["polygons"]
        ),
        box=_read_corners(entry["box"]),
        crop=_read_corners(entry["crop"]),
        notices=tuple(entry["notices"]),
        # A gateway before 0.2.0 has none.
        candidates=tuple(map(_read_candidate, entry.get("candidates", ()))),
    )


def _read_candidate(entry: Mapping[str, Any]) -> Candidate:
    height, width = entry["rle"]["size"]
    return Candidate(
        rle=RunLengths.read(height, width, entry["rle"]["counts"]),
        box=_read_corners(entry["box"]),
        area=entry["area"],
        score=entry["score"],
    )


def _read_corners(corners: Sequence[int] | None) -> Corners | None:
    if corners is None:
        return None
    x0, y0, x1, y1 = corners
    return x0, y0, x1, y1


def _read_emptied(response: httpx.Response) -> None:
    _read_state(response)


def _read_state(response: httpx.Response) -> SessionState:
    """Read how a session stands."""
    document = response.json()
    typed = {
        "objects": tuple(document["objects"]),
        "notices": tuple(document["notices"]),
        "expires": datetime.fromisoformat(document["expires"]),
    }
    return read_fields(SessionState, document | typed)
