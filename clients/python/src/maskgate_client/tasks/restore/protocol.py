"""The HTTP contract of the removal of clouds, without HTTP, and its answer, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from maskgate_client.answers import Provenance, read_fields, take_files
from maskgate_client.call import JSON, Call, content, image_part, query
from maskgate_client.images import ImageInput

RestoreForm = Literal["image", "invented", "geotiff"]
"""What a report on the removal of clouds can bring along."""

_TIFF = "image/tiff"


@dataclass(frozen=True)
class RestoreReport:
    """What became of an image's clouds.

    Attributes:
        model: that took them off.
        width: of the image, in pixels.
        height: of the image, in pixels.
        observed_share: of all pixels, from 0 to 1.
        covered_share: of the observed pixels, those that some cloud or shadow lay on.
        invented_share: of the observed pixels, those that the model made up.
        notices: what the gateway did to the image, and what to beware of.
        provenance: what made the answer.
        pictures: PNG files by name.
        files: other files by name.
        document: the answer as it came, without pictures and files.
    """

    model: str
    width: int
    height: int
    observed_share: float
    covered_share: float
    invented_share: float
    notices: tuple[str, ...]
    provenance: Provenance
    pictures: Mapping[str, bytes]
    files: Mapping[str, bytes]
    document: Mapping[str, Any]


def restore(
    image: ImageInput,
    *,
    model: str | None = None,
    version: int | None = None,
    include: Sequence[RestoreForm] = ("image",),
) -> Call[RestoreReport]:
    """Return a satellite image without its clouds, and how much of it is invented.

    What lay under thick cloud is made up, and nothing may be decided by it. The picture `invented` is grey: 255 times
    the share of a pixel that is not the ground's own light.
    """
    params = query(include=include, model=model, version=version)
    return Call("POST", "/v1/restore", JSON, _read_report, params, image_part("image", image))


def restore_file(image: ImageInput, *, model: str | None = None, version: int | None = None) -> Call[bytes]:
    """Return a GeoTIFF without its clouds, as a GeoTIFF; its fourth band is what is invented, as of `restore`."""
    params = query(model=model, version=version)
    return Call("POST", "/v1/restore", _TIFF, content, params, image_part("image", image))


def _read_report(response: httpx.Response) -> RestoreReport:
    document = response.json()
    pictures, files = take_files(document, "pictures"), take_files(document, "files")
    return RestoreReport(
        **{key: document[key] for key in ("model", "width", "height")},
        **{key: document[key] for key in ("observed_share", "covered_share", "invented_share")},
        notices=tuple(document["notices"]),
        provenance=read_fields(Provenance, document["provenance"]),
        pictures=pictures,
        files=files,
        document=document,
    )
