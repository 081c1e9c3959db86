"""Pairs of scenes through `POST /v1/damage`: aligned, mapped band by band, and answered."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.engines.base import Model
from gateway.errors import ParameterInvalid
from gateway.http.answers import provenance
from gateway.http.parameters import JSON, Wish
from gateway.http.request_path import Job, Parts, model_headers, notice_headers
from gateway.media.geo.cog import CogFile
from gateway.media.geo.districts import District, DistrictCount, ObservedCells, count_districts, districts_of, meeting
from gateway.media.geo.georeference import GeoGrid, lon_lat_crs
from gateway.media.geo.reading import parse_crs
from gateway.tasks.damage.inputs import SceneWishes
from gateway.tasks.damage.pipeline import rasters_of, segmenter_of
from gateway.tasks.damage.scene_answers import (
    building_values,
    district_answers,
    footprint_answers,
    geography,
    scene_classes,
    scene_regions,
)
from gateway.tasks.damage.scene_bands import LEAST_OBSERVED, Observation, Sink
from gateway.tasks.damage.scene_clearing import Clearing, take_off_clouds
from gateway.tasks.damage.scene_files import Opened
from gateway.tasks.damage.scene_footprints import grade_footprints
from gateway.tasks.damage.scene_inputs import read_known, take_pair
from gateway.tasks.damage.scene_layers import standing
from gateway.tasks.damage.scene_notices import check_observed, said_of_alignment, said_of_map
from gateway.tasks.damage.scene_outputs import (
    DISTRICTED,
    PICTURES,
    TABLES,
    WHOLE,
    ConfidenceSink,
    MapSink,
    QuicklookSink,
    Scene,
    SceneForm,
    unfit,
)
from gateway.tasks.damage.scene_pairs import Align, ScenePair
from gateway.tasks.damage.scene_pipeline import SceneMap, map_scene
from gateway.tasks.damage.scene_schema import AlignmentAnswer, DecloudedAnswer, RasterAnswer, SceneAnswer
from gateway.tasks.damage.spec import DISTRICTS
from gateway.vision.quicklook import Quicklook

if TYPE_CHECKING:
    from rasterio.crs import CRS

# Per pixel of one row of tiles, and of what is read ahead of it: both images of two rows on their way, the labels of
# one and regions of another, and what is known of its buildings where they are dense. Twice what towns take.
_BYTES_PER_ROW_PIXEL, _ROWS_READ_AHEAD = 40, 512
# Of each date between: three rows of tiles on their way, and what they are joined from.
_BYTES_PER_DATE_PIXEL = 15
# Of each raster that the model takes: the same of heights, and what is decoded of them.
_BYTES_PER_RASTER_PIXEL = 24
# Per pixel of a picture of the scene's size: its label map, what PNG makes of it, and under an overlay the image.
_BYTES_PER_PICTURE_PIXEL = 6
_SOURCE = "source"


async def answer_scene(
    job: Job[Parts],
    held: ExitStack,
    opened: Opened,
    model: Model,
    wish: Wish[SceneForm],
    align: Align | None,
    wishes: SceneWishes,
) -> Response:
    """Return what the caller wants of a pair of scenes.

    Args:
        job: the request.
        held: what is opened is closed with it.
        opened: what `open_parts` returned.
        model: of the task.
        wish: the form of the answer.
        align: None: as `pair_scenes` has it on Earth, and ``off`` elsewhere.
        wishes: what else is wanted of the answer.

    Raises:
        MaskgateError: any of reading, aligning, inferring, or of the form wished for.
    """
    pair, notices = await take_pair(job, held, opened, model, align)
    clearing = None
    if wishes.clearer is not None:
        pair, clearing = await take_off_clouds(job, pair, wishes.clearer)
        notices = (*notices, *clearing.notices)
    media_type, forms = _granted(job, pair, opened, wish)
    output_crs = _output_crs(wishes.output_crs, pair.pre.info.grid, forms)
    info = pair.pre.info
    job.reservation.expect(2 * info.width * info.height)
    _reserve(job, pair, model, forms)
    label_map = held.enter_context(CogFile(info.width, info.height, model.card.palette(), info.grid))
    quicklook = Quicklook(info.height, info.width) if "quicklook" in forms else None
    observation = Observation(info.height, info.width)
    sinks: list[Sink] = [MapSink(label_map), observation, *([QuicklookSink(quicklook)] if quicklook else [])]
    sureness = None
    if "confidence" in forms:
        sureness = held.enter_context(CogFile(info.width, info.height, None, info.grid))
        sinks.append(ConfidenceSink(sureness, None if clearing is None else clearing.invented))
    segmenter = segmenter_of(job.inference, model)
    if opened.footprints is None:
        found = await map_scene(
            segmenter,
            pair.pre,
            pair.post,
            sinks,
            between=pair.between,
            rasters=pair.rasters,
            judged=not opened.plain,
            pictured=quicklook is not None,
            twice=wishes.twice,
        )
    else:
        known = await read_known(job, opened.footprints, pair.pre.info)
        found = await grade_footprints(
            segmenter,
            pair.pre,
            pair.post,
            known,
            sinks,
            between=pair.between,
            rasters=pair.rasters,
            judged=not opened.plain,
            pictured=quicklook is not None,
            twice=wishes.twice,
        )
    check_observed(found, pair, info.width * info.height)
    if clearing is not None:
        found = await job.run("finish", clearing.told, found)
    notices = (*notices, *said_of_alignment(pair.alignment), *said_of_map(found, info.width * info.height, forms))
    counted = await job.run("encode", _counted, opened, pair, found, observation)
    notices = (*notices, *counted.notices)
    answer = await job.run("encode", _answer, job, opened, pair, found, counted, notices, wishes, clearing)
    scene = Scene(
        answer=answer,
        found=found,
        card=model.card,
        post=pair.post,
        grid=info.grid,
        label_map=label_map,
        sureness=sureness,
        quicklook=quicklook,
        stands_in=counted.stands_in,
        counts=counted.counts,
        observation=observation,
        post_grid=None if opened.post is None else opened.post.info.grid,
        output_crs=output_crs,
    )
    body = await job.services.workers.run_to_end(job.timeline, "encode", _encoded, scene, media_type, forms)
    return Response(body, headers=model_headers(model) | notice_headers(notices), media_type=media_type)


def _granted(
    job: Job[Parts], pair: ScenePair, opened: Opened, wish: Wish[SceneForm]
) -> tuple[str, tuple[SceneForm, ...]]:
    """Return the media type of the answer, and the forms that it is in or holds."""
    limits, info = job.services.settings.limits, pair.pre.info
    unfitting = unfit(info.width, info.height, info.grid, limits.image_pixels, limits.image_side)
    media_type, forms = wish.granted(unfitting, "overlay")
    if opened.districts is not None and media_type != JSON and not set(forms) & set(DISTRICTED):
        raise ParameterInvalid(
            "Only JSON, GeoJSON and the like have room for districts; accept one of them.", pointer=f"/{DISTRICTS}"
        )
    return media_type, forms


def _output_crs(asked: str | None, grid: GeoGrid | None, forms: Sequence[SceneForm]) -> CRS:
    """Return the coordinate reference system of GeoPackage and its like, WGS 84 where nothing is asked for.

    Raises:
        ParameterInvalid: it means nothing, or the answer has none of these forms.
    """
    if asked is None or grid is None:
        return lon_lat_crs()
    if asked != _SOURCE and not set(forms) & set(TABLES):
        raise ParameterInvalid(
            "GeoPackage, FlatGeobuf and GeoParquet can be in any coordinate reference system. GeoJSON is in WGS 84, "
            "and the label map on the grid of the pre image.",
            pointer="/output_crs",
        )
    if asked == _SOURCE:
        return grid.crs
    try:
        return parse_crs(asked)
    except ParameterInvalid as error:
        error.pointer = "/output_crs"
        raise


def _reserve(job: Job[Parts], pair: ScenePair, model: Model, forms: tuple[SceneForm, ...]) -> None:
    """Hold the bytes that mapping takes; it follows the width of the scene, and its area only in whole pictures."""
    info = pair.pre.info
    per_pixel = _BYTES_PER_ROW_PIXEL + _BYTES_PER_DATE_PIXEL * len(pair.between)
    per_pixel += _BYTES_PER_RASTER_PIXEL * len(rasters_of(model))
    job.reservation.grow(info.width * (model.card.tile + _ROWS_READ_AHEAD) * per_pixel)
    if any(form in WHOLE for form in forms):
        job.reservation.grow(info.width * info.height * _BYTES_PER_PICTURE_PIXEL)


@dataclass(frozen=True)
class _Counted:
    """What stands in which district.

    Attributes:
        counts: per district, and last of none; None: none were sent.
        stands_in: the district of each building.
        notices: what the caller should know.
    """

    counts: Sequence[DistrictCount] | None
    stands_in: Sequence[District | None]
    notices: tuple[str, ...] = ()


def _counted(opened: Opened, pair: ScenePair, found: SceneMap, observation: Observation) -> _Counted:
    grid, layer = pair.pre.info.grid, opened.districts
    if layer is None or grid is None:
        return _Counted(None, [None] * len(building_values(found)))
    seen, buildings = ObservedCells(observation.side, observation.seen), standing(found, grid)
    counts = count_districts(buildings, grid, layer.districts, len(found.model.card.classes), seen)
    notices = list(layer.notices)
    if not meeting(layer.districts, grid):
        notices.append("no district meets the scene")
    elif unseen := sum(one.observed_share is not None and one.observed_share < LEAST_OBSERVED for one in counts):
        notices.append(f"{unseen} districts not assessed: less than {LEAST_OBSERVED:.0%} of each was seen")
    return _Counted(counts, districts_of(buildings, layer.districts), tuple(notices))


def _answer(
    job: Job[Parts],
    opened: Opened,
    pair: ScenePair,
    found: SceneMap,
    counted: _Counted,
    notices: tuple[str, ...],
    wishes: SceneWishes,
    clearing: Clearing | None,
) -> SceneAnswer:
    info, classes = pair.pre.info, found.model.card.classes
    pixels = info.width * info.height
    return SceneAnswer(
        model=found.model.name,
        width=info.width,
        height=info.height,
        geography=None if info.grid is None else geography(info.grid),
        alignment=AlignmentAnswer.of(pair.alignment),
        observed_share=round(sum(found.counts) / pixels, 6),
        featureless_share=round(found.featureless / pixels, 6),
        classes=scene_classes(classes, found, wishes.uncertain_below),
        rasters={name: RasterAnswer(known_share=round(known / pixels, 6)) for name, known in found.known.items()},
        uncertain_below=wishes.uncertain_below,
        seen_twice=wishes.twice,
        declouded=None if clearing is None else DecloudedAnswer.of(clearing),
        districts=None if counted.counts is None else district_answers(classes, counted.counts),
        regions=[],
        footprints=None,
        notices=list(notices),
        provenance=provenance(found.model, job.services.engine, opened.digest),
    )


def _encoded(scene: Scene, media_type: str, forms: tuple[SceneForm, ...]) -> bytes:
    """Return the body of the answer."""
    contents = {form: scene.encoded(form) for form in forms}
    if media_type != JSON:
        (body,) = contents.values()
        return body
    found, classes, districts = scene.found, scene.card.classes, scene.stands_in
    graded = found.graded
    below = scene.answer.uncertain_below
    coded = {form: b64encode(content).decode() for form, content in contents.items()}
    answer = scene.answer.model_copy(
        update={
            "regions": [] if graded else scene_regions(classes, found, scene.grid, districts, below),
            "footprints": graded and footprint_answers(classes, found, graded, scene.grid, districts, below),
            "pictures": {form: text for form, text in coded.items() if form in PICTURES},
            "files": {form: text for form, text in coded.items() if form not in PICTURES},
        }
    )
    return answer.model_dump_json(by_alias=True).encode()
