"""`/v1/jobs/{job}/tiles`: the label maps that a job's items were answered with, as a layer of a web map."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.errors import ParameterInvalid, ResultNotFound
from gateway.http.documentation import problems
from gateway.jobs.desk import Desk, InjectedDesk
from gateway.jobs.model import Item, Job
from gateway.jobs.route import NOT_FOUND, InjectedJob, has_already
from gateway.media.geo.map_tiles import FINEST, LabelMapFile, MapTile, draw_tile, open_label_map

router = APIRouter(tags=["jobs"])

_TIFF, _PNG = "image/tiff", "image/png"
# Items that one layer is put together of: each is looked for in the books, and held against the tile.
_MOST_ITEMS = 500
_SOON = "private, max-age=5"
_FOR_GOOD = "private, max-age=86400, immutable"

OneItem = Annotated[
    int | None, Query(alias="item", ge=0, le=1 << 40, description="The map of this item alone; without it those of all")
]


class TileJson(BaseModel):
    """A layer of a web map, as TileJSON 3.0.0 has it."""

    tilejson: str = "3.0.0"
    name: str = Field(examples=["damage"])
    scheme: str = "xyz"
    tiles: list[str] = Field(description="Where the tiles are; the key goes along as with any request")
    bounds: tuple[float, float, float, float] = Field(description="West, south, east, north")
    center: tuple[float, float, int] = Field(description="Longitude, latitude and zoom to begin with")
    minzoom: int
    maxzoom: int = Field(description="Its pixels are no larger than those of the maps")


@router.get(
    "/v1/jobs/{job}/tiles",
    summary="The maps of a job as a layer: TileJSON",
    responses=problems({**NOT_FOUND, 404: "No such job of this caller, or no item with a GeoTIFF as result."}),
)
async def tile_json(desk: InjectedDesk, job: InjectedJob, response: Response, item: OneItem = None) -> TileJson:
    """Return where the tiles of a job are, and what they cover. Jobs of damage have them that were left for GeoTIFF."""
    maps = await _maps(desk, job, item)
    boxes, zooms = await desk.disk(lambda: ([file.bounds for _, file in maps], [file.zooms for _, file in maps]))
    bounds = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    coarsest, finest = min(zoom for zoom, _ in zooms), max(zoom for _, zoom in zooms)
    response.headers["Cache-Control"] = _SOON if job.ended is None else _FOR_GOOD
    asked = "" if item is None else f"?item={item}"
    return TileJson(
        name=job.request.task,
        tiles=[f"/v1/jobs/{job.id}/tiles/{{z}}/{{x}}/{{y}}{asked}"],
        bounds=bounds,
        center=((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, coarsest),
        minzoom=coarsest,
        maxzoom=finest,
    )


@router.get(
    "/v1/jobs/{job}/tiles/{z}/{x}/{y}",
    summary="A tile of the maps of a job",
    response_class=Response,
    responses={
        200: {
            "description": "256² pixels of Web Mercator in the classes' colours; background is transparent, and so is "
            "what was not observed.",
            "content": {_PNG: {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The caller has it already."},
        **problems({**NOT_FOUND, 404: "No such job of this caller, no item with a GeoTIFF, or none reaches there."}),
    },
)
async def tile(
    desk: InjectedDesk,
    job: InjectedJob,
    request: Request,
    z: Annotated[int, Path(ge=0, le=FINEST)],
    x: Annotated[int, Path(ge=0, lt=1 << FINEST)],
    y: Annotated[int, Path(ge=0, lt=1 << FINEST)],
    item: OneItem = None,
) -> Response:
    """Return a tile. One that no map reaches into is 404, which web maps leave empty; TileJSON's bounds spare it."""
    asked = MapTile(z, x, y)
    if max(x, y) >= 1 << z:
        raise ResultNotFound("There is no such tile at this zoom.")
    maps = await _maps(desk, job, item)
    shown = await desk.disk(lambda: [(digest, file) for digest, file in maps if asked.shows(file)])
    if not shown:
        raise ResultNotFound("No map of the job reaches into this tile.")
    said = [z, x, y, *(digest for digest, _ in shown)]
    etag = f'"{hashlib.sha256(repr(said).encode()).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": _SOON if job.ended is None else _FOR_GOOD}
    if has_already(request, etag):
        return Response(status_code=304, headers=headers)
    content = await desk.disk(draw_tile, [file for _, file in shown], asked)
    return Response(content, headers=headers, media_type=_PNG)


async def _maps(desk: Desk, job: Job, item: int | None) -> list[tuple[str, LabelMapFile]]:
    """Return the label maps among the results of a job, each with its digest.

    Raises:
        ParameterInvalid: the job has more items than are put together.
        ResultNotFound: there are none.
    """
    if item is None and job.total > _MOST_ITEMS:
        raise ParameterInvalid(f"Maps of {_MOST_ITEMS} items at most are one layer; name an item.", pointer="/item")
    first, count = (0, _MOST_ITEMS) if item is None else (item, 1)
    items: list[Item] = await desk.books(desk.store.items, job.id, first, count)
    results = [
        (one.result.digest, desk.files.body(job.tenant, one.key))
        for one in items
        if one.result is not None and one.result.media_type == _TIFF and item in (None, one.number)
    ]

    def opened() -> list[tuple[str, LabelMapFile]]:
        files = [(digest, open_label_map(path, digest)) for digest, path in results]
        return [(digest, file) for digest, file in files if file is not None]

    maps = await desk.disk(opened)
    if not maps:
        raise ResultNotFound("No item of the job is done and answered with a GeoTIFF; ask for image/tiff.")
    return maps
