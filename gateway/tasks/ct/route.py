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

from gateway.access.keys import check_scope
from gateway.engines.base import Model, choose
from gateway.errors import BadRequest, PacsMissing, ParameterInvalid
from gateway.http.answers import MEDICAL_NOTICE, Provenance, provenance
from gateway.http.documentation import task_body, task_responses
from gateway.http.parameters import JSON, ModelQuery, Wish, form_query, model_query
from gateway.http.request_path import (
    InjectedServices,
    Job,
    Parts,
    Services,
    digest_of,
    model_headers,
    notice_headers,
    serve_task,
)
from gateway.http.uploads import declared_length, naming_part, read_only_part
from gateway.inference.segmenter import Segmenter
from gateway.media.medical.archives import ArchiveLimits, is_only_zip, packed
from gateway.media.medical.ct_files import CtFile, CtLimits, Hints, read_ct_file
from gateway.media.medical.dicom_seg import identifiers
from gateway.media.medical.slices import VolumeLimits
from gateway.pacs.dicomweb import Dicomweb, check_uid
from gateway.scheduling.admission import Reservation
from gateway.scheduling.prices import Kind
from gateway.settings import LimitSettings
from gateway.tasks.ct.outputs import DIRECT, CtForm, Granted, StoredForm, encode, grant
from gateway.tasks.ct.pipeline import CtFindings, find_lesions, window_of
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
    wished.check()
    chosen = choose(services.engine, TASK.name, wanted.name(services, TASK), wanted.version)

    archived = _archived(services, request, source, study, series, store or ())
    hints = Hints(body_part, None if archived else series, scale, offset)

    async def answer(job: Job[Parts]) -> Response:
        taken = await _take(job, wished, window_of(chosen), hints, archived)
        found = await _find(job, taken, chosen)
        files = await job.run("encode", _encode, found)
        stored = await job.run("encode", _stored, files, taken.granted)
        if archived is not None and stored:
            await archived.server.store(archived.study, [files[form] for form in taken.granted.stored])
        source = provenance(chosen, services.engine, taken.digest)
        body = await job.run("encode", _body, found, source, files, stored)
        headers = model_headers(chosen) | notice_headers(found.notices) | _stored_headers(stored)
        return Response(body, headers=headers, media_type=taken.granted.media_type)

    read = partial(read_only_part, _PART) if archived is None else archived.fetch
    return await serve_task(services, request, Kind(TASK.name, chosen.name), read, answer)


@dataclass(frozen=True)
class _Archived:
    """A series in the DICOMweb server.

    Attributes:
        server: where it is.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        store: what to store beside it.
    """

    server: Dicomweb
    study: str
    series: str
    store: tuple[StoredForm, ...]

    async def fetch(self, request: Request, limits: LimitSettings, reservation: Reservation) -> Parts:
        """Return its files, named by numbers; they count as a body does.

        Raises:
            BadRequest: there is a body too.
            MaskgateError: as `Dicomweb.series`.
        """
        if declared_length(request):
            raise BadRequest("With source=dicomweb the body is empty.")
        files = await self.server.series(
            self.study, self.series, limits.body_bytes, limits.series_files, reservation.grow
        )
        return {str(number): memoryview(file) for number, file in enumerate(files)}


def _archived(
    services: Services,
    request: Request,
    source: str | None,
    study: str | None,
    series: str | None,
    store: Sequence[StoredForm],
) -> _Archived | None:
    """Return the series that a request names in the DICOMweb server; None: it brings its CT along.

    Raises:
        ParameterInvalid: parameters that belong together are not, or an identifier is none.
        PacsMissing: there is no such server.
        Forbidden: the key does not open it.
    """
    if source is None:
        for name, value in (("study", study), ("store", store)):
            if value:
                raise ParameterInvalid(f"{name} goes with source=dicomweb.", pointer=f"/{name}")
        return None
    if study is None or series is None:
        missing = "study" if study is None else "series"
        raise ParameterInvalid("source=dicomweb takes study and series, by their UIDs.", pointer=f"/{missing}")
    check_uid(study, "/study")
    check_uid(series, "/series")
    check_scope(request.scope["state"]["caller"], "pacs")
    if services.pacs is None:
        raise PacsMissing("This gateway has no DICOMweb server; send the series itself.")
    return _Archived(services.pacs, study, series, tuple(dict.fromkeys(store)))


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


async def _take(
    job: Job[Parts], wished: Wish[CtForm], window: Window, hints: Hints, archived: _Archived | None
) -> _Taken:
    """Return the CT, its headers read and judged."""
    limits = job.services.settings.limits
    files = list(job.body.values())
    job.body.clear()
    copied = 0 if is_only_zip(files) else sum(len(file) for file in files)
    job.reservation.grow(copied + limits.series_file_bytes + limits.slice_side**2 * _BYTES_PER_SLICE_PIXEL)
    data = await job.run("decode", packed, files)
    part = _PART.name if archived is None else "series"
    with naming_part(part):
        volume, digest = await asyncio.gather(
            job.run("decode", read_ct_file, data, _limits(limits), window, hints), job.run("decode", digest_of, data)
        )
    return _Taken(volume, grant(wished, volume, archived.store if archived else ()), digest, part)


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

    with naming_part(taken.part):
        findings = await find_lesions(Segmenter.of(job.inference, model), taken.volume, keep if per_voxel else None)
    return _Found(taken, model, findings, labels)


def _encode(found: _Found) -> dict[CtForm, bytes]:
    with naming_part(found.taken.part):
        return encode(found.taken.granted, found.taken.volume, found.labels, found.model, found.findings)


def _stored(files: Mapping[CtForm, bytes], granted: Granted) -> list[StoredFile]:
    """Return what is to be stored, by the identifiers that were given to it."""
    return [StoredFile(form=form, **identifiers(files[form])) for form in granted.stored]


def _stored_headers(stored: Sequence[StoredFile]) -> dict[str, str]:
    """Return the header that says what was stored where the body has no room for it."""
    return {"Maskgate-Stored": ", ".join(f"{file.form}={file.instance}" for file in stored)} if stored else {}


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
