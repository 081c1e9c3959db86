"""The HTTP contract of waste, without HTTP."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence

import httpx

from maskgate_client.answers import Picture, Provenance
from maskgate_client.images import ImageInput, image_bytes, media_type
from maskgate_client.protocol import Call, chosen, read_class, read_region
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
    document = response.json()
    return WasteReport(
        model=document["model"],
        width=document["width"],
        height=document["height"],
        classes=tuple(read_class(entry) for entry in document["classes"]),
        regions=tuple(read_region(entry) for entry in document["regions"]),
        notices=tuple(document["notices"]),
        provenance=Provenance(**{key: document["provenance"][key] for key in Provenance.__dataclass_fields__}),
        pictures={name: b64decode(data, validate=True) for name, data in document.pop("pictures", {}).items()},
        document=document,
    )
