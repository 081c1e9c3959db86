"""`POST /v1/ct`: a CT slice, series or volume in, its lesions out."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request, Response

from gateway.engines.base import Model, choose
from gateway.http.answers import MEDICAL_NOTICE, Provenance, model_headers, notice_headers, provenance
from gateway.http.documentation import task_body, task_responses
from gateway.http.negotiation import JSON, Wish
from gateway.http.parameters import FormQuery, ModelQuery, form_query, model_query
from gateway.http.request_path import InjectedServices, Job, Parts, digest_of, serve_task
from gateway.http.uploads import naming_part, read_parts
from gateway.inference.segmenter import Segmenter
from gateway.media.medical.archives import ArchiveLimits
from gateway.media.medical.ct_files import CtFile, CtLimits, Hints, read_ct_file
from gateway.media.medical.slices import VolumeLimits
from gateway.scheduling.prices import Kind
from gateway.settings import LimitSettings
from gateway.tasks.ct.outputs import CtForm, Granted, encode, grant, wish
from gateway.tasks.ct.pipeline import CtFindings, find_lesions, window_of
from gateway.tasks.ct.schema import CtAnswer, ct_answer
from gateway.tasks.ct.spec import TASK
from gateway.vision.windowing import Window

UInt8 = npt.NDArray[np.uint8]

# Per pixel of the largest slice: decoded values (float64), Hounsfield units (int16), and of an overlay the picture and
# what painting it takes. On the model's grid slices are small beside that.
_BYTES_PER_SLICE_PIXEL = 20
# What is kept of the header of each file.
_BYTES_PER_SLICE = 32 * 1024

router = APIRouter(tags=[TASK.name])

_READ = partial(read_parts, TASK.required_parts)


@router.post(
    "/v1/ct",
    summary=TASK.title,
    openapi_extra=task_body(TASK),
    responses=task_responses(TASK, CtAnswer),
    response_class=Response,
)
async def ct(
    request: Request,
    services: InjectedServices,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    form: Annotated[FormQuery[CtForm], form_query(TASK, CtForm)],
    series: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Zip of several series: the one to take, by SeriesInstanceUID or SeriesNumber; without it the "
            "only one, or the only axial one",
        ),
    ] = None,
    body_part: Annotated[
        Literal["chest"] | None, Query(description="DICOM: what it shows, where the file says otherwise or nothing")
    ] = None,
    scale: Annotated[
        float | None,
        Query(gt=0, le=1e6, description="NIfTI and PNG of 16 bits: Hounsfield units per value; without it 1"),
    ] = None,
    offset: Annotated[
        float | None,
        Query(ge=-1e6, le=1e6, description="NIfTI and PNG of 16 bits: Hounsfield units of the value 0; without it 0"),
    ] = None,
) -> Response:
    """Return the lesions in a CT of the chest. The models are research demonstrations; this is not a diagnosis.

    Worked examples, the overlay of a slice, and a DICOM SEG of a series:

        curl -F image=@slice.dcm 'http://127.0.0.1:8080/v1/ct?overlay=true' -o overlay.png

        zip -q -r series.zip folder-of-dicom-files
        curl -F image=@series.zip -H 'Accept: application/dicom' http://127.0.0.1:8080/v1/ct -o seg.dcm
    """
    wished = wish(form.accept, form.overlay, form.include)
    wished.check()
    chosen = choose(services.engine, TASK.name, wanted.name(services, TASK), wanted.version)

    hints = Hints(body_part, series, scale, offset)

    async def answer(job: Job[Parts]) -> Response:
        taken = await _take(job, wished, window_of(chosen), hints)
        found = await _find(job, taken, chosen)
        body = await job.run("encode", _encode, found, provenance(chosen, services.engine, taken.digest))
        headers = model_headers(chosen) | notice_headers(found.notices)
        return Response(body, headers=headers, media_type=taken.granted.media_type)

    return await serve_task(services, request, Kind(TASK.name, chosen.name), _READ, answer)


@dataclass(frozen=True)
class _Taken:
    """A CT as it came, what is to be answered, and the digest of the upload."""

    volume: CtFile
    granted: Granted
    digest: str


@dataclass(frozen=True)
class _Found:
    """What was found in a CT.

    Attributes:
        taken: the CT.
        model: what found it.
        findings: in numbers.
        labels: uint8 (slices, rows, columns), where a form of the answer is made of them; else empty.
    """

    taken: _Taken
    model: Model
    findings: CtFindings
    labels: UInt8

    @property
    def notices(self) -> tuple[str, ...]:
        """What was done to the slices, and what to beware of."""
        card, (_, rows, columns) = self.model.card, self.taken.volume.shape
        said = [MEDICAL_NOTICE, *self.taken.volume.notices]
        if (rows, columns) != (card.tile, card.tile):
            said.append(f"slices resampled from {columns}×{rows} to {card.tile}×{card.tile} for the model")
        if self.findings.clipped:
            said.append(f"voxels beyond 16 bits of Hounsfield units, set to its end: {self.findings.clipped}")
        if self.findings.missing:
            said.append(f"voxels that are not a number, taken as outside the field of view: {self.findings.missing}")
        if card.training.untrained:
            said.append(f"the model has never seen {', '.join(card.training.untrained)} and cannot find it")
        return tuple(said)


async def _take(job: Job[Parts], wished: Wish[CtForm], window: Window, hints: Hints) -> _Taken:
    """Return the CT, its headers read and judged."""
    limits = job.services.settings.limits
    image = job.body.pop("image")
    # Decoders want bytes: the one copy, of which the original is let go. Of a zip one file at a time is unpacked.
    job.reservation.grow(len(image) + limits.series_file_bytes + limits.slice_side**2 * _BYTES_PER_SLICE_PIXEL)
    data = await job.run("decode", bytes, image)
    del image
    with naming_part("image"):
        volume, digest = await asyncio.gather(
            job.run("decode", read_ct_file, data, _limits(limits), window, hints), job.run("decode", digest_of, data)
        )
    return _Taken(volume, grant(wished, volume), digest)


async def _find(job: Job[Parts], taken: _Taken, model: Model) -> _Found:
    """Return what the model finds; label maps are kept only where the answer is made of them."""
    slices, rows, columns = taken.volume.shape
    per_voxel = taken.granted.bytes_per_voxel
    job.reservation.expect(slices)
    held = taken.volume.held_bytes
    job.reservation.grow(held + slices * (_BYTES_PER_SLICE + rows * columns * (per_voxel + bool(held and per_voxel))))
    labels = np.empty(taken.volume.shape if per_voxel else 0, np.uint8)

    def keep(number: int, label_map: UInt8) -> None:
        labels[number] = label_map

    with naming_part("image"):
        findings = await find_lesions(Segmenter.of(job.inference, model), taken.volume, keep if per_voxel else None)
    return _Found(taken, model, findings, labels)


def _encode(found: _Found, source: Provenance) -> bytes:
    taken, model = found.taken, found.model
    with naming_part("image"):
        files = {form: encode(form, taken.volume, found.labels, model) for form in taken.granted.forms}
    if taken.granted.media_type != JSON:
        (body,) = files.values()
        return body
    coded = {str(name): b64encode(content).decode() for name, content in files.items()}
    size = taken.volume.shape[1:]
    answer = ct_answer(found.findings, size, model.card.classes, found.notices, source, coded)
    return answer.model_dump_json().encode()


def _limits(limits: LimitSettings) -> CtLimits:
    return CtLimits(
        VolumeLimits(limits.slice_side, limits.slice_side_minimum, limits.volume_slices),
        limits.volume_voxels,
        ArchiveLimits(limits.series_files, limits.series_file_bytes, limits.series_bytes),
    )
