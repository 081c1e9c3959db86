"""The HTTP contract of waste, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from maskgate_client.answers import Picture
from maskgate_client.images import ImageInput, image_bytes, media_type
from maskgate_client.protocol import Call, chosen, labelled
from maskgate_client.wastes import WasteReport


def report(
    image: ImageInput, model: str | None, version: int | None, min_area: int | None, include: Sequence[Picture]
) -> Call[WasteReport]:
    """Ask for the waste on a photograph in numbers, and for pictures in the same answer."""
    params: Mapping[str, str | Sequence[str]] = {
        **({"include": include} if include else {}),
        **({} if min_area is None else {"min_area": str(min_area)}),
        **chosen(model, version),
    }
    data = image_bytes(image)
    files = {"image": ("image", data, media_type(data))}
    return Call("POST", "/v1/waste", "application/json", _read_report, params, files)


def _read_report(response: httpx.Response) -> WasteReport:
    return WasteReport(**labelled(response.json()))
