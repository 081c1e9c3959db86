"""Pairs of scenes through `POST /v1/damage`: aligned, mapped band by band, and answered."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack

from starlette.responses import Response

from gateway.engines.base import Model
from gateway.errors import ParameterInvalid
from gateway.http.answers import model_headers, notice_headers, provenance
from gateway.http.images import Parts
from gateway.http.negotiation import JSON, Wish
from gateway.http.request_path import Job
from gateway.media.geo.cog import LabelMapFile
from gateway.media.geo.districts import count_districts
from gateway.media.geo.geotiff import is_tiff
from gateway.tasks.damage.fused import segmenter_of
from gateway.tasks.damage.inputs import PARTS
from gateway.tasks.damage.scene_bands import Sink
from gateway.tasks.damage.scene_inputs import DISTRICTS, Opened, open_parts, take_pair
from gateway.tasks.damage.scene_outputs import (
    GEOJSON,
    PICTURES,
    WHOLE,
    WITHOUT_NODATA,
    MapSink,
    QuicklookSink,
    Scene,
    SceneForm,
    unfit,
)
from gateway.tasks.damage.scene_pairs import Align, Alignment, ScenePair
from gateway.tasks.damage.scene_pipeline import SceneMap, map_scene
from gateway.tasks.damage.scene_schema import (
    AlignmentAnswer,
    SceneAnswer,
    district_answers,
    geography,
    scene_classes,
    scene_regions,
)
from gateway.vision.quicklook import Quicklook

# Per pixel of one row of tiles, and of what is read ahead of it: three rows on their way, both images and the
# probabilities of each, what blending holds of the last two, and the labels and regions of the last.
_BYTES_PER_ROW_PIXEL, _ROWS_READ_AHEAD = 64, 512
# Per pixel of a picture of the scene's size: its label map, what PNG makes of it, and under an overlay the image.
_BYTES_PER_PICTURE_PIXEL = 6


def is_scene(parts: Parts) -> bool:
    """Return whether a body has a part that is TIFF, or districts."""
    return DISTRICTS in parts or any(is_tiff(parts[name]) for name in PARTS)


async def answer_scene(job: Job[Parts], model: Model, wish: Wish[SceneForm], align: Align | None) -> Response:
    """Return what the caller wants of a pair of scenes.

    Args:
        job: the request.
        model: of the task.
        wish: the form of the answer.
        align: None: as `pair_scenes` has it on Earth, and ``off`` elsewhere.

    Raises:
        MaskgateError: any of reading, aligning, inferring, or of the form wished for.
    """
    with ExitStack() as held:
        opened = await open_parts(job, held)
        pair, notices = await take_pair(job, held, opened, model, align)
        media_type, forms = _granted(job, pair, opened, wish)
        info = pair.pre.info
        job.reservation.expect(2 * info.width * info.height)
        _reserve(job, pair, model, forms)
        label_map = held.enter_context(LabelMapFile(info.width, info.height, model.card.palette(), info.grid))
        quicklook = Quicklook(info.height, info.width) if "quicklook" in forms else None
        sinks: list[Sink] = [MapSink(label_map), *([QuicklookSink(quicklook)] if quicklook else [])]
        found = await map_scene(segmenter_of(job.inference, model), pair.pre, pair.post, sinks)
        notices = (*notices, *_said_of(pair.alignment), *_said_of_map(found, info.width * info.height, forms))
        answer = await job.run("encode", _answer, job, opened, pair, found, notices)
        scene = Scene(answer, found, model.card, pair.post, info.grid, label_map, quicklook)
        body = await job.services.workers.run_to_end(job.timeline, "encode", _encoded, scene, media_type, forms)
    return Response(body, headers=model_headers(model) | notice_headers(notices), media_type=media_type)


def _granted(
    job: Job[Parts], pair: ScenePair, opened: Opened, wish: Wish[SceneForm]
) -> tuple[str, tuple[SceneForm, ...]]:
    """Return the media type of the answer, and the forms that it is in or holds."""
    limits, info = job.services.settings.limits, pair.pre.info
    unfitting = unfit(info.width, info.height, info.grid, limits.image_pixels, limits.image_side)
    media_type, forms = wish.granted(unfitting, "overlay")
    if opened.districts is not None and media_type not in (JSON, GEOJSON):
        raise ParameterInvalid(
            "Only JSON and GeoJSON answers have room for districts; accept one of them.", pointer=f"/{DISTRICTS}"
        )
    return media_type, forms


def _reserve(job: Job[Parts], pair: ScenePair, model: Model, forms: tuple[SceneForm, ...]) -> None:
    """Hold the bytes that mapping takes; it follows the width of the scene, and its area only in whole pictures."""
    info = pair.pre.info
    job.reservation.grow(info.width * (model.card.tile + _ROWS_READ_AHEAD) * _BYTES_PER_ROW_PIXEL)
    if any(form in WHOLE for form in forms):
        job.reservation.grow(info.width * info.height * _BYTES_PER_PICTURE_PIXEL)


def _said_of(alignment: Alignment) -> tuple[str, ...]:
    shift = alignment.shift
    if shift is None:
        return ()
    if alignment.corrected:
        return (f"post image moved by ({-shift.x:.2f}, {-shift.y:.2f}) pixels onto what the pre image shows",)
    if not shift.sure:
        return ("whether the images are shifted to each other cannot be told for sure; they are taken as they lie",)
    return ()


def _said_of_map(found: SceneMap, pixels: int, forms: Sequence[SceneForm]) -> tuple[str, ...]:
    said = []
    lost = pixels - sum(found.counts)
    if lost and any(form in WITHOUT_NODATA for form in forms):
        said.append(f"{lost / pixels:.1%} of the scene not observed or not classified, which is background in PNGs")
    if found.featureless:
        said.append(
            f"{found.featureless / pixels:.1%} of the scene not classified: one of the images is blank there, or as "
            "bright and even as clouds are"
        )
    if found.cut:
        said.append(f"{found.cut} regions cut, being taller than any building")
    return tuple(said)


def _answer(job: Job[Parts], opened: Opened, pair: ScenePair, found: SceneMap, notices: tuple[str, ...]) -> SceneAnswer:
    info, classes = pair.pre.info, found.model.card.classes
    counted = None
    if opened.districts is not None and info.grid is not None:
        districts = count_districts(found.buildings, info.grid, opened.districts, len(classes))
        counted = district_answers(classes, districts)
    pixels = info.width * info.height
    return SceneAnswer(
        model=found.model.name,
        width=info.width,
        height=info.height,
        geography=None if info.grid is None else geography(info.grid),
        alignment=AlignmentAnswer.of(pair.alignment),
        observed_share=round(sum(found.counts) / pixels, 6),
        featureless_share=round(found.featureless / pixels, 6),
        classes=scene_classes(classes, found),
        districts=counted,
        regions=[],
        notices=list(notices),
        provenance=provenance(found.model, job.services.engine, opened.digest),
    )


def _encoded(scene: Scene, media_type: str, forms: tuple[SceneForm, ...]) -> bytes:
    """Return the body of the answer."""
    contents = {form: scene.encoded(form) for form in forms}
    if media_type != JSON:
        (body,) = contents.values()
        return body
    coded = {form: b64encode(content).decode() for form, content in contents.items()}
    answer = scene.answer.model_copy(
        update={
            "regions": scene_regions(scene.card.classes, scene.found.buildings, scene.grid),
            "pictures": {form: text for form, text in coded.items() if form in PICTURES},
            "files": {form: text for form, text in coded.items() if form not in PICTURES},
        }
    )
    return answer.model_dump_json(by_alias=True).encode()
