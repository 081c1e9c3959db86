"""The HTTP contract of land cover, without HTTP, and its answer, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from maskgate_client.answers import ClassShare, LabelMapReport, read_class, read_fields, read_label_map
from maskgate_client.call import JSON, Call, Polygons, content, image_part, polygon_parts, query
from maskgate_client.images import ImageInput

LandForm = Literal["label_map", "overlay", "geotiff"]
"""What a report on land cover can bring along."""

_TIFF = "image/tiff"


@dataclass(frozen=True)
class LandShare(ClassShare):
    """How much of the image is of one class, in m² too."""

    area_m2: float


@dataclass(frozen=True)
class Roads:
    """Metres of road, and of these, near the buildings that were sent; None: none were."""

    length_m: float
    near_length_m: float | None


@dataclass(frozen=True)
class DistrictRoads(Roads):
    """Roads of one district; `id` and `name` are None for those in none."""

    id: str | int | None
    name: str | None


@dataclass(frozen=True)
class LandReport(LabelMapReport):
    """The land cover of an image.

    Attributes:
        shares: the classes, in m² too.
        resolution: metres from one pixel to the next, along a row and along a column.
        observed_share: of all pixels, from 0 to 1.
        roads: of the whole image.
        districts: of each, the last one what is in none; None: none were sent.
    """

    shares: tuple[LandShare, ...]
    resolution: tuple[float, float]
    observed_share: float
    roads: Roads
    districts: tuple[DistrictRoads, ...] | None


def land(
    image: ImageInput,
    *,
    buildings: Polygons | None = None,
    districts: Polygons | None = None,
    near: float | None = None,
    near_class: str | None = None,
    district_name: str | None = None,
    resolution: float | None = None,
    model: str | None = None,
    version: int | None = None,
    min_area: int | None = None,
    include: Sequence[LandForm] = (),
) -> Call[LandReport]:
    """Return the land cover of an image from above, and how long its roads are.

    `buildings` are those of the same place that `damage_file` gives as GeoJSON: the report then says how much road is
    within `near` metres (20) of those of `near_class` (destroyed), in each of `districts` too. `resolution` is in
    metres a pixel, of images that are no GeoTIFF.
    """
    params = query(
        include=include,
        near=near,
        near_class=near_class,
        district_name=district_name,
        resolution=resolution,
        min_area=min_area,
        model=model,
        version=version,
    )
    files = image_part("image", image) | polygon_parts({"buildings": buildings, "districts": districts})
    return Call("POST", "/v1/land", JSON, _read_report, params, files)


def land_file(image: ImageInput, *, model: str | None = None, version: int | None = None) -> Call[bytes]:
    """Return the land cover of a GeoTIFF as a GeoTIFF; 255 is what was not observed."""
    return Call("POST", "/v1/land", _TIFF, content, query(model=model, version=version), image_part("image", image))


def _read_report(response: httpx.Response) -> LandReport:
    document = response.json()
    across, down = document["resolution"]
    districts = document["districts"]
    return LandReport(
        **read_label_map(document),
        shares=tuple(_read_share(entry) for entry in document["classes"]),
        resolution=(across, down),
        observed_share=document["observed_share"],
        roads=read_fields(Roads, document["roads"]),
        districts=None if districts is None else tuple(read_fields(DistrictRoads, each) for each in districts),
    )


def _read_share(entry: Mapping[str, Any]) -> LandShare:
    return LandShare(**vars(read_class(entry)), area_m2=entry["area_m2"])
