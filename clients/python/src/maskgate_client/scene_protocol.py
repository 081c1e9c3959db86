"""The HTTP contract of pairs of scenes, without HTTP."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import httpx

from maskgate_client.answers import Provenance
from maskgate_client.images import ImageInput, image_bytes, media_type
from maskgate_client.progress import Tell
from maskgate_client.protocol import Call, chosen, read_class, read_region
from maskgate_client.scene_report import (
    Align,
    Alignment,
    District,
    DistrictClass,
    SceneBuilding,
    SceneClass,
    SceneFile,
    SceneForm,
    SceneReport,
)

T = TypeVar("T")

Districts = str | PathLike[str] | bytes
"""The path of a GeoJSON file of polygons, or its bytes."""

SECONDS = 4 * 3600 + 30.0
"""How long an answer may take: a little more than the gateway itself takes at most."""

_MEDIA_TYPES: Mapping[SceneFile, str] = {
    "geojson": "application/geo+json",
    "geotiff": "image/tiff",
    "xview2": "application/zip",
}


def report(
    pre: ImageInput,
    post: ImageInput,
    districts: Districts | None,
    align: Align | None,
    model: str | None,
    version: int | None,
    include: Sequence[SceneForm],
    progress: Tell | None,
) -> Call[SceneReport]:
    """Ask for the buildings of a pair of scenes, and for files in the same answer."""
    # Asked for by name, so that pictures too are answered as scenes are.
    params: dict[str, str | Sequence[str]] = {"align": align or "auto"}
    if include:
        params["include"] = include
    return _scene(pre, post, districts, model, version, progress, "application/json", _read_report, params)


def file(
    pre: ImageInput,
    post: ImageInput,
    form: SceneFile,
    districts: Districts | None,
    align: Align | None,
    model: str | None,
    version: int | None,
    progress: Tell | None,
) -> Call[bytes]:
    """Ask for one file about a pair of scenes."""
    params = {"align": align or "auto"}
    return _scene(
        pre, post, districts, model, version, progress, _MEDIA_TYPES[form], lambda response: response.content, params
    )


def _scene(
    pre: ImageInput,
    post: ImageInput,
    districts: Districts | None,
    model: str | None,
    version: int | None,
    progress: Tell | None,
    accept: str,
    read: Callable[[httpx.Response], T],
    params: Mapping[str, str | Sequence[str]],
) -> Call[T]:
    images = {role: image_bytes(image) for role, image in (("pre", pre), ("post", post))}
    files = {role: (role, data, media_type(data)) for role, data in images.items()}
    if districts is not None:
        layer = districts if isinstance(districts, bytes) else Path(districts).read_bytes()
        files["districts"] = ("districts", layer, _MEDIA_TYPES["geojson"])
    query = {**params, **chosen(model, version)}
    return Call("POST", "/v1/damage", accept, read, query, files, progress=progress, seconds=SECONDS)


def _read_report(response: httpx.Response) -> SceneReport:
    document = response.json()
    pictures, files = (
        {name: b64decode(data, validate=True) for name, data in document.pop(part).items()}
        for part in ("pictures", "files")
    )
    geography, districts = document["geography"], document["districts"]
    alignment = document["alignment"]
    shift = alignment["shift"]
    return SceneReport(
        model=document["model"],
        width=document["width"],
        height=document["height"],
        crs=geography and geography["crs"],
        footprint=geography and geography["footprint"],
        alignment=Alignment(
            asked=alignment["asked"],
            overlap=alignment["overlap"],
            shift=None if shift is None else (shift[0], shift[1]),
            confidence=alignment["confidence"],
            corrected=alignment["corrected"],
        ),
        observed_share=document["observed_share"],
        featureless_share=document["featureless_share"],
        classes=tuple(_read_class(entry) for entry in document["classes"]),
        districts=None if districts is None else tuple(_read_district(entry) for entry in districts),
        buildings=tuple(_read_building(entry) for entry in document["regions"]),
        notices=tuple(document["notices"]),
        provenance=Provenance(**{key: document["provenance"][key] for key in Provenance.__dataclass_fields__}),
        pictures=pictures,
        files=files,
        document=document,
    )


def _read_class(entry: dict[str, Any]) -> SceneClass:
    return SceneClass(**vars(read_class(entry)), area_m2=entry["area_m2"], buildings=entry["buildings"])


def _read_building(entry: dict[str, Any]) -> SceneBuilding:
    return SceneBuilding(**vars(read_region(entry)), area_m2=entry["area_m2"])


def _read_district(entry: dict[str, Any]) -> District:
    classes = (DistrictClass(c["value"], c["name"], c["buildings"], c["area_m2"]) for c in entry["classes"])
    return District(entry["id"], entry["name"], tuple(classes))
