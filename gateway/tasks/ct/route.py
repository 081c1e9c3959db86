"""`POST /v1/ct`: a CT slice, series or volume in, its lesions out."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request, Response

from gateway.engines.base import Model, choose
from gateway.http.answers import MEDICAL_NOTICE, Provenance, provenance
from gateway.http.documentation import task_body, task_responses
from gateway.http.parameters import JSON, PNG, ModelQuery, Wish, form_query, model_query
from gateway.http.request_path import (
    MEMORY,
    InjectedServices,
    Job,
    Parts,
    Services,
    digest_of,
    model_headers,
    notice_headers,
    serve_task,
)
from gateway.http.uploads import naming_part, read_only_part
from gateway.inference.segmenter import Segmenter
from gateway.media.medical.archives import ArchiveLimits, is_only_zip, packed
from gateway.media.medical.arriving import ArrivingSeries
from gateway.media.medical.ct_files import CtFile, CtLimits, Hints, read_ct_file
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.media.medical.slices import VolumeLimits
from gateway.scheduling.prices import Kind
from gateway.settings import LimitSettings
from gateway.tasks.ct.ahead import Ahead, Seen
from gateway.tasks.ct.archived import Archived, archived_series, stored_files, stored_headers
from gateway.tasks.ct.outputs import DIRECT, CtForm, Granted, StoredForm, encode, grant
from gateway.tasks.ct.pipeline import CtFindings, SeenBefore, SliceFindings, find_lesions, window_of
from gateway.tasks.ct.schema import CtAnswer, StoredFile, ct_answer
from gateway.tasks.ct.spec import TASK
from gateway.vision.windowing import Window

UInt8 = npt.NDArray[np.uint8]

# Per pixel of the largest slice: decoded values (float64), Hounsfield units (int16), and of an overlay the picture and
# what painting it takes. On the model's grid slices are small beside that.
_BYTES_PER_SLICE_PIXEL = 20
# What is kept of the header of each file.
_BYTES_PER_SLICE = 32 * 1024

router = APIRouter(tags=[TASK.name])

(_PART,) = TASK.parts


@router.post(
    "/v1/ct",
    summary=TASK.title,
    openapi_extra=task_body(TASK, bare=True),
    responses=task_responses(TASK, CtAnswer),
    response_class=Response,
)
async def ct(
    request: Request,
    services: InjectedServices,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    wished: Annotated[Wish[CtForm], form_query(TASK, CtForm, DIRECT)],
    source: Annotated[
        Literal["dicomweb"] | None,
        Query(description="Where the CT is, where not in the body: the DICOMweb server that the gateway has"),
    ] = None,
    study: Annotated[str | None, Query(max_length=64, description="With `source`: its StudyInstanceUID")] = None,
    series: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Zip of several series: the one to take, by SeriesInstanceUID or SeriesNumber; without it the "
            "only one, or the only axial one. With `source`: the SeriesInstanceUID",
        ),
    ] = None,
    store: Annotated[
        list[StoredForm] | None,
        Query(
            description="With `source`: what to store in the study there: the DICOM SEG, or the measurement report and "
            "the SEG that it names"
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

    One file may be the body itself, and a series may lie in the DICOMweb server of the gateway's settings:

        curl --data-binary @slice.dcm -H 'Content-Type: application/dicom' http://127.0.0.1:8080/v1/ct -o labels.png

        curl -X POST 'http://127.0.0.1:8080/v1/ct?source=dicomweb&study=1.2.3&series=1.2.3.4&store=report'
    """
    media_type = wished.check()
    chosen = choose(services.engine, TASK.name, wanted.name(services, TASK), wanted.version)

    archived = archived_series(services, request, source, study, series, store or ())
    hints = Hints(body_part, None if archived else series, scale, offset)
    ahead = (
        None if archived or MEMORY in request.scope["state"] else _ahead(services, chosen, wished, media_type, hints)
    )

    async def answer(job: Job[Parts]) -> Response:
        taken = await _take(job, wished, window_of(chosen), hints, archived, ahead)
        found = await _find(job, taken, chosen, ahead)
        files = await job.run("encode", _encode, found)
        stored = await job.run("encode", stored_files, files, taken.granted)
        if archived is not None and stored:
            await archived.server.store(archived.study, [files[form] for form in taken.granted.stored])
        source = provenance(chosen, services.engine, taken.digest)
        body = await job.run("encode", _body, found, source, files, stored)
        headers = model_headers(chosen) | notice_headers(found.notices) | stored_headers(stored)
        return Response(body, headers=headers, media_type=taken.granted.media_type)

    from_body = partial(read_only_part if ahead is None else ahead.read, _PART)
    read = from_body if archived is None else archived.fetch
    return await serve_task(services, request, Kind(TASK.name, chosen.name), read, answer, ahead)


@dataclass(frozen=True)
class _Taken:
    """A CT as it came, what is to be answered, the digest of its files, and the part or parameter that brought it."""

    volume: CtFile
    granted: Granted
    digest: str
    part: str


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


def _ahead(services: Services, model: Model, wished: Wish[CtForm], media_type: str, hints: Hints) -> Ahead:
    """Return what infers the slices of a series while it arrives."""
    limits = services.settings.limits
    read = _limits(limits)
    return Ahead(
        services,
        model,
        ArrivingSeries(read.archive, read.volume, hints.series, hints.body_part),
        # Of a volume JSON comes first; whether a picture can be made is known when it has a single slice.
        keep=bool(wished.include) or wished.overlay or media_type not in (PNG, JSON),
        working_bytes=_working_bytes(limits),
        slice_bytes=_BYTES_PER_SLICE,
    )


def _working_bytes(limits: LimitSettings) -> int:
    """Return what one file, unpacked, and one slice take while it is decoded."""
    return limits.series_file_bytes + limits.slice_side**2 * _BYTES_PER_SLICE_PIXEL


async def _take(
    job: Job[Parts],
    wished: Wish[CtForm],
    window: Window,
    hints: Hints,
    archived: Archived | None,
    ahead: Ahead | None,
) -> _Taken:
    """Return the CT, its headers read and judged."""
    limits = job.services.settings.limits
    files = list(job.body.values())
    job.body.clear()
    copied = 0 if is_only_zip(files) else sum(len(file) for file in files)
    job.reservation.grow(copied)
    if ahead is None:
        job.reservation.grow(_working_bytes(limits))
    else:
        ahead.hold_working(job.reservation)
        ahead.go_on()
    data = await job.run("decode", packed, files)
    part = _PART.name if archived is None else "series"
    with naming_part(part):
        reading = read_ct_file, data, _limits(limits), window, hints, ahead.known if ahead else None
        volume, digest = await asyncio.gather(job.run("decode", *reading), job.run("decode", digest_of, data))
    return _Taken(volume, grant(wished, volume, archived.store if archived else ()), digest, part)


async def _find(job: Job[Parts], taken: _Taken, model: Model, ahead: Ahead | None) -> _Found:
    """Return what the model finds; label maps are kept only where the answer is made of them."""
    volume, per_voxel = taken.volume, taken.granted.bytes_per_voxel
    slices, rows, columns = volume.shape
    before = _before(volume, await ahead.end(), bool(per_voxel)) if ahead else {}
    job.reservation.expect(slices, len(before))
    held = volume.held_bytes
    needed = held + slices * (_BYTES_PER_SLICE + rows * columns * (per_voxel + bool(held and per_voxel)))
    job.reservation.grow(max(0, needed - (ahead.slices_held if ahead else 0)))
    labels = np.empty(volume.shape if per_voxel else 0, np.uint8)

    def keep(number: int, label_map: UInt8) -> None:
        labels[number] = label_map

    def take_over() -> dict[int, SliceFindings]:
        findings = {}
        while before:
            number, (findings[number], label_map) = before.popitem()
            if per_voxel and label_map is not None:
                keep(number, label_map)
        return findings

    findings = await job.run("finish", take_over)
    with naming_part(taken.part):
        seen = SeenBefore(findings, volume.slices(findings)) if isinstance(volume, DicomVolume) else None
        found = await find_lesions(Segmenter.of(job.inference, model), volume, keep if per_voxel else None, seen)
    return _Found(taken, model, found, labels)


def _before(volume: CtFile, seen: Seen, labels: bool) -> dict[int, tuple[SliceFindings, UInt8 | None]]:
    """Return by number what was seen ahead of the slices of a volume: of the same files, with label maps if asked."""
    if not isinstance(volume, DicomVolume) or not volume.states_units:
        return {}
    pairs = ((number, seen.pop(source.header, None)) for number, source in enumerate(volume.sources))
    return {number: one for number, one in pairs if one is not None and (one[1] is not None or not labels)}


def _encode(found: _Found) -> dict[CtForm, bytes]:
    with naming_part(found.taken.part):
        return encode(found.taken.granted, found.taken.volume, found.labels, found.model, found.findings)


def _body(found: _Found, source: Provenance, files: Mapping[CtForm, bytes], stored: Sequence[StoredFile]) -> bytes:
    granted = found.taken.granted
    if granted.media_type != JSON:
        (form,) = granted.forms
        return files[form]
    coded = {str(form): b64encode(files[form]).decode() for form in granted.forms}
    size = found.taken.volume.shape[1:]
    answer = ct_answer(found.findings, size, found.model.card.classes, found.notices, source, coded, stored)
    return answer.model_dump_json().encode()


def _limits(limits: LimitSettings) -> CtLimits:
    return CtLimits(
        VolumeLimits(limits.slice_side, limits.slice_side_minimum, limits.volume_slices),
        limits.volume_voxels,
        ArchiveLimits(limits.series_files, limits.series_file_bytes, limits.series_bytes),
    )
