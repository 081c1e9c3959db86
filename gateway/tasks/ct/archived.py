"""A series in the DICOMweb server of the settings, in place of a body, and what is stored beside it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import Request

from gateway.access.keys import check_scope
from gateway.errors import BadRequest, PacsMissing, ParameterInvalid
from gateway.http.request_path import Parts, Services
from gateway.http.uploads import declared_length
from gateway.media.medical.dicom_seg import identifiers
from gateway.pacs.dicomweb import Dicomweb, check_uid
from gateway.scheduling.admission import Reservation
from gateway.settings import LimitSettings
from gateway.tasks.ct.outputs import CtForm, Granted, StoredForm
from gateway.tasks.ct.schema import StoredFile


@dataclass(frozen=True)
class Archived:
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


def archived_series(
    services: Services,
    request: Request,
    source: str | None,
    study: str | None,
    series: str | None,
    store: Sequence[StoredForm],
) -> Archived | None:
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
    return Archived(services.pacs, study, series, tuple(dict.fromkeys(store)))


def stored_files(files: Mapping[CtForm, bytes], granted: Granted) -> list[StoredFile]:
    """Return what is to be stored, by the identifiers that were given to it."""
    return [StoredFile(form=form, **identifiers(files[form])) for form in granted.stored]


def stored_headers(stored: Sequence[StoredFile]) -> dict[str, str]:
    """Return the header that says what was stored where the body has no room for it."""
    return {"Maskgate-Stored": ", ".join(f"{file.form}={file.instance}" for file in stored)} if stored else {}
