"""The HTTP contract of damage maps, without HTTP: pairs of pictures, and pairs of GeoTIFFs ("scenes")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import Any, TypeVar

import httpx
import numpy as np

from maskgate_client.answers import (
    Picture,
    Provenance,
    read_class,
    read_fields,
    read_label_map,
    read_region,
    take_files,
)
from maskgate_client.call import JSON, Call, Part, Polygons, Query, content, image_part, polygon_parts, query
from maskgate_client.images import ImageInput
from maskgate_client.progress import Tell
from maskgate_client.tasks.damage.answers import (
    Align,
    Alignment,
    DamageMap,
    DamageReport,
    Declouded,
    District,
    DistrictClass,
    Footprint,
    Origin,
    SceneBuilding,
    SceneClass,
    SceneFile,
    SceneForm,
    SceneReport,
    Tta,
)

T = TypeVar("T")

SceneInput = ImageInput | list[ImageInput] | tuple[ImageInput, ...]
"""An image, or several: GeoTIFFs that are tiles of one, or after the disaster with `post_dates` images of a series."""

Dates = Sequence[date | str]
"""The date of each image after the disaster, in their order, as a date or as ``2018-10-11``."""

_SCENE_SECONDS = 4 * 3600 + 30.0
"""How long an answer about scenes may take: a little more than the gateway itself takes at most."""

_PNG = "image/png"
_MEDIA_TYPES: Mapping[SceneFile, str] = {
    "geojson": "application/geo+json",
    "geotiff": "image/tiff",
    "xview2": "application/zip",
    "gpkg": "application/geopackage+sqlite3",
    "flatgeobuf": "application/vnd.flatgeobuf",
    "geoparquet": "application/vnd.apache.parquet",
}


def damage(
    pre: ImageInput,
    post: SceneInput,
    *,
    post_dates: Dates = (),
    elevation: ImageInput | None = None,
    surface: ImageInput | None = None,
    landcover: ImageInput | None = None,
    model: str | None = None,
    version: int | None = None,
) -> Call[DamageMap]:
    """Return the label map of a pair; without `model` the gateway's default answers.

    Where `post` is a list of images of several `post_dates`, a model of series maps the last date by all of them.
    A model of terrain takes GeoTIFFs of one band beside them: `elevation` in metres, of `surface` metres above the
    ground, and the classes of `landcover`. Each is brought to the grid of `pre`, and may know a part of it alone; of
    images that lie nowhere on Earth it is of their size.
    """
    params = query(post_date=_days(post_dates), model=model, version=version)
    ground = _ground(elevation=elevation, surface=surface, landcover=landcover)
    return _damage(_PNG, _read_map, _pair(pre, post) | ground, params)


def damage_report(
    pre: ImageInput,
    post: SceneInput,
    *,
    post_dates: Dates = (),
    elevation: ImageInput | None = None,
    surface: ImageInput | None = None,
    landcover: ImageInput | None = None,
    model: str | None = None,
    version: int | None = None,
    declouded: bool = False,
    include: Sequence[Picture] = (),
) -> Call[DamageReport]:
    """Return the buildings of a pair and the share of each class, and the pictures to `include` at no extra run.

    `post`, `post_dates` and what is known of the ground are as of `damage`, `declouded` as of `damage_scene`.
    """
    params = query(
        include=include, post_date=_days(post_dates), declouded=declouded or None, model=model, version=version
    )
    ground = _ground(elevation=elevation, surface=surface, landcover=landcover)
    return _damage(JSON, _read_report, _pair(pre, post) | ground, params)


def damage_overlay(
    pre: ImageInput,
    post: SceneInput,
    *,
    post_dates: Dates = (),
    elevation: ImageInput | None = None,
    surface: ImageInput | None = None,
    landcover: ImageInput | None = None,
    model: str | None = None,
    version: int | None = None,
) -> Call[bytes]:
    """Return a PNG file: the label map drawn over the post image, the last of a series; see `damage`."""
    params = query(overlay=True, post_date=_days(post_dates), model=model, version=version)
    ground = _ground(elevation=elevation, surface=surface, landcover=landcover)
    return _damage(_PNG, content, _pair(pre, post) | ground, params)


def damage_scene(
    pre: SceneInput,
    post: SceneInput,
    *,
    post_dates: Dates = (),
    districts: Polygons | None = None,
    footprints: Polygons | None = None,
    elevation: ImageInput | None = None,
    surface: ImageInput | None = None,
    landcover: ImageInput | None = None,
    align: Align | None = None,
    output_crs: str | None = None,
    uncertain_below: float | None = None,
    tta: Tta | None = None,
    declouded: bool = False,
    model: str | None = None,
    version: int | None = None,
    include: Sequence[SceneForm] = (),
    progress: Tell | None = None,
) -> Call[SceneReport]:
    """Return the buildings of a pair of GeoTIFFs, and the files to `include`.

    Either image may be several tiles, and `post` with `post_dates` a series; see `damage`, also of `elevation`,
    `surface` and `landcover`. Of other pictures it is the same, without places. Of `districts` the buildings in each
    are counted. Where `footprints` are given no buildings are looked for: each of these is graded. `output_crs`,
    ``source`` or a code of EPSG's, is what GeoPackage and its like are in. Buildings of less confidence than
    `uncertain_below` are uncertain. With `tta` models are asked once more about everything as a mirror shows it. With
    `declouded` clouds are taken off both images first; buildings on ground that is invented in their place are
    uncertain. `progress` is told of the bytes sent and then of the tiles.
    """
    # `align` is asked for by name, so that pictures too are answered as scenes are.
    params = query(
        post_date=_days(post_dates),
        align=align or "auto",
        output_crs=output_crs,
        uncertain_below=uncertain_below,
        tta=tta,
        declouded=declouded or None,
        include=include,
        model=model,
        version=version,
    )
    ground = _ground(elevation=elevation, surface=surface, landcover=landcover)
    return _damage(
        JSON,
        _read_scene,
        _pair(pre, post, districts=districts, footprints=footprints) | ground,
        params,
        progress,
        _SCENE_SECONDS,
    )


def damage_file(
    pre: SceneInput,
    post: SceneInput,
    form: SceneFile,
    *,
    post_dates: Dates = (),
    districts: Polygons | None = None,
    footprints: Polygons | None = None,
    elevation: ImageInput | None = None,
    surface: ImageInput | None = None,
    landcover: ImageInput | None = None,
    align: Align | None = None,
    output_crs: str | None = None,
    uncertain_below: float | None = None,
    tta: Tta | None = None,
    declouded: bool = False,
    model: str | None = None,
    version: int | None = None,
    progress: Tell | None = None,
) -> Call[bytes]:
    """Return one file about a pair: features and the label map of GeoTIFFs, or a zip for xView2 of any pair."""
    params = query(
        post_date=_days(post_dates),
        align=align or "auto",
        output_crs=output_crs,
        uncertain_below=uncertain_below,
        tta=tta,
        declouded=declouded or None,
        model=model,
        version=version,
    )
    ground = _ground(elevation=elevation, surface=surface, landcover=landcover)
    return _damage(
        _MEDIA_TYPES[form],
        content,
        _pair(pre, post, districts=districts, footprints=footprints) | ground,
        params,
        progress,
        _SCENE_SECONDS,
    )


def _damage(
    accept: str,
    read: Callable[[httpx.Response], T],
    files: Mapping[str, Part],
    params: Query,
    progress: Tell | None = None,
    seconds: float | None = None,
) -> Call[T]:
    return Call("POST", "/v1/damage", accept, read, params, files, progress=progress, seconds=seconds)


def _pair(pre: SceneInput, post: SceneInput, **layers: Polygons | None) -> dict[str, Part]:
    files = _tiles("pre", pre) | _tiles("post", post)
    return files | polygon_parts(layers)


def _ground(**rasters: ImageInput | None) -> dict[str, Part]:
    """Return the parts of what is known of the ground."""
    given = (image_part(name, raster) for name, raster in rasters.items() if raster is not None)
    return {name: part for parts in given for name, part in parts.items()}


def _days(dates: Dates) -> list[str]:
    return [day if isinstance(day, str) else day.isoformat() for day in dates]


def _tiles(name: str, image: SceneInput) -> dict[str, Part]:
    """Return the parts of an image: the first tile has its name, the others a number behind it."""
    first, *others = image if isinstance(image, list | tuple) else [image]
    files = image_part(name, first)
    for number, tile in enumerate(others, 1):
        (files[f"{name}/{number}"],) = image_part(name, tile).values()
    return files


def _read_map(response: httpx.Response) -> DamageMap:
    """Read an indexed PNG and the headers beside it."""
    from PIL.PngImagePlugin import PngImageFile

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
    return DamageReport(**read_label_map(response.json()))


def _read_scene(response: httpx.Response) -> SceneReport:
    document = response.json()
    pictures, files = take_files(document, "pictures"), take_files(document, "files")
    geography, districts, footprints = document["geography"], document["districts"], document["footprints"]
    alignment, declouded = document["alignment"], document.get("declouded")
    shift = alignment["shift"]
    return SceneReport(
        rasters={name: raster["known_share"] for name, raster in document.get("rasters", {}).items()},
        **{key: document[key] for key in ("model", "width", "height", "observed_share", "featureless_share")},
        crs=geography and geography["crs"],
        footprint=geography and geography["footprint"],
        declouded=declouded and read_fields(Declouded, declouded),
        alignment=read_fields(Alignment, alignment | {"shift": None if shift is None else (shift[0], shift[1])}),
        classes=tuple(_read_class(entry) for entry in document["classes"]),
        districts=None if districts is None else tuple(_read_district(entry) for entry in districts),
        buildings=tuple(_read_building(entry) for entry in document["regions"]),
        footprints=None if footprints is None else tuple(_read_footprint(entry) for entry in footprints),
        notices=tuple(document["notices"]),
        provenance=read_fields(Provenance, document["provenance"]),
        pictures=pictures,
        files=files,
        document=document,
    )


def _read_class(entry: Mapping[str, Any]) -> SceneClass:
    more = {name: entry[name] for name in ("area_m2", "buildings", "uncertain")}
    return SceneClass(**vars(read_class(entry)), **more)


def _read_building(entry: Mapping[str, Any]) -> SceneBuilding:
    more = {name: entry[name] for name in ("area_m2", "district", "scores", "uncertain", "disagreement")}
    return SceneBuilding(**vars(read_region(entry)), **more, invented_share=entry.get("invented_share"))


def _read_footprint(entry: Mapping[str, Any]) -> Footprint:
    box = entry["box"]
    share = entry.get("invented_share")
    return read_fields(
        Footprint, {**entry, "value": entry["class"], "box": box and tuple(box), "invented_share": share}
    )


def _read_district(entry: Mapping[str, Any]) -> District:
    return District(entry["id"], entry["name"], tuple(read_fields(DistrictClass, each) for each in entry["classes"]))
