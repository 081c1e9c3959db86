"""Every error the gateway answers with, in one tree.

    MaskgateError
    ├── BadRequest (400)             the body or its parts cannot be read
    │   ├── UploadIncomplete (400)   the body ended before its last boundary
    │   └── PartProblem (400)        a part is missing, doubled or unexpected
    ├── Unauthorised (401)
    ├── Forbidden (403)              the key is known, and does not open this
    ├── NotFound (404)
    │   ├── ModelNotFound (404)
    │   ├── VersionNotFound (404)
    │   ├── SessionNotFound (404)
    │   ├── RequestNotFound (404)
    │   ├── JobNotFound (404)
    │   ├── ResultNotFound (404)      the item has none yet, or none any more
    │   ├── UploadNotFound (404)
    │   ├── SeriesNotFound (404)     the DICOMweb server has no such series
    │   └── RouteNotFound (404)
    ├── MethodNotAllowed (405)
    ├── NotAcceptable (406)
    ├── UploadTooSlow (408)
    ├── Conflict (409)               at odds with what is there now
    │   ├── SessionChanged (409)
    │   ├── UploadMoved (409)        the upload goes on at another byte
    │   ├── UploadUnfinished (409)
    │   └── SessionOutdated (409)
    ├── UploadVersion (412)          another version of the upload protocol
    ├── TooLarge (413)
    │   ├── BodyTooLarge (413)
    │   ├── ImageTooLarge (413)
    │   ├── ArchiveTooLarge (413)    a zip that unpacks to more than is served, a bomb included
    │   ├── PromptTooLarge (413)
    │   ├── JobTooLarge (413)
    │   ├── DistrictsTooLarge (413)
    │   └── FootprintsTooLarge (413)
    ├── UnsupportedMedia (415)
    │   └── CompressionUnsupported (415)
    ├── Unprocessable (422)          well-formed, but meaningless
    │   ├── ImageUnreadable (422)
    │   ├── ImageUnsuitable (422)
    │   │   ├── PixelsMissing (422)  a DICOM file that is no image: a report, a PDF
    │   │   ├── ModalityUnsuitable (422)
    │   │   ├── BodyPartUnsuitable (422)
    │   │   ├── ColourUnsuitable (422)
    │   │   ├── GeometryUnsuitable (422)
    │   │   ├── GeographyMissing (422)
    │   │   ├── BandsUnsuitable (422)
    │   │   └── UnitsImplausible (422) values that cannot be Hounsfield units
    │   ├── ArchiveUnsuitable (422)  a zip with names that climb out, with zips inside, encrypted
    │   ├── SeriesUnsuitable (422)
    │   │   ├── SeriesMixed (422)    several patients, studies, series, sizes, orientations
    │   │   ├── SeriesGap (422)      a slice is missing
    │   │   └── SeriesDuplicate (422)
    │   ├── PairMismatch (422)
    │   │   ├── PairApart (422)      they lie apart on Earth, or share too little of it
    │   │   ├── PairUnaligned (422)  by what they show they cannot be brought together
    │   │   └── PairUnobserved (422) of the ground they share next to nothing is seen in both
    │   ├── DistrictsInvalid (422)   districts that are no polygons, or lie nowhere
    │   ├── FootprintsInvalid (422)  the same of footprints
    │   ├── ModelUnsuitable (422)    it cannot answer alone; another name would
    │   ├── TensorMismatch (422)
    │   ├── PromptInvalid (422)      clicks, boxes, polygons that mean nothing
    │   │   └── ClickOutside (422)
    │   ├── PromptUnsuitable (422)   another model would take it
    │   ├── KeyReused (422)          an idempotency key that stood for another request
    │   ├── InputForbidden (422)     an address of no store that inputs may come from
    │   ├── ReferenceInvalid (422)   what is to name a file in a store, and names none
    │   └── ParameterInvalid (422)
    ├── UploadBusy (423)
    ├── QuotaExceeded (429)          the caller's own limit, not the gateway's
    ├── HeadTooLarge (431)
    ├── ChecksumWrong (460)          as the upload protocol has it
    ├── CallerLeft (499)             logged and counted, never sent
    ├── Internal (500)               a defect of ours
    ├── ItemLost (500)               the gateway ended again and again at one item of a job
    ├── SessionsUnshared (501)       several processes, and no place where they share sessions
    ├── JobsOff (501)                no folder for them is set
    ├── InputUnreachable (502)
    ├── PacsMissing (501)            no DICOMweb server is configured
    ├── PacsFailed (502)             the DICOMweb server cannot be reached, or does not do what it is asked
    ├── UnloadUnshared (501)         several processes, and no word between them of which models are out
    ├── Unavailable (503)            try again after `retry_after` seconds
    │   ├── Overloaded (503)
    │   │   ├── QueueFull (503)
    │   │   └── WouldBeLate (503)    refused, or dropped while it waited, before any work was done
    │   ├── Draining (503)
    │   ├── ModelNotReady (503)
    │   ├── JobsFull (503)
    │   ├── SessionsFull (503)
    │   └── SessionsUnavailable (503)
    └── DeadlineExceeded (504)

`code` is the stable tail of the problem document's `type`; `title` never changes
for a code. `detail` is written for the caller and never holds an exception's text.
The HTTP rendering lives in `gateway/http/problems.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class MaskgateError(Exception):
    """Base of every error with an answer of its own.

    Args:
        detail: one sentence for the caller; no file names, no pixels, no internals.
        limit: the limit that was passed, where one was.
        retry_after: whole seconds after which a retry makes sense.
        pointer: the offending part or parameter, e.g. ``"/post"``.
        headers: of the answer.
        members: what else the problem document has, by name of the member; JSON values.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        limit: int | None = None,
        retry_after: int | None = None,
        pointer: str | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        """Keep what the problem document will say."""
        super().__init__(detail)
        self.detail = detail
        self.limit = limit
        self.retry_after = retry_after
        self.pointer = pointer
        self.headers = dict(headers or {})
        self.members = dict(members or {})


class BadRequest(MaskgateError):
    """The request cannot be read as what it says it is."""

    status, code, title = 400, "bad-request", "Bad request"


class UploadIncomplete(BadRequest):
    """The multipart body ended before its closing boundary."""

    code, title = "upload-incomplete", "Upload incomplete"


class PartProblem(BadRequest):
    """A multipart part is missing, given twice, or not one we know."""

    code, title = "part-problem", "Multipart part missing, repeated or unknown"


class Unauthorised(MaskgateError):
    """The call carries no key, or none that is known here."""

    status, code, title = 401, "unauthorised", "Unauthorised"


class Forbidden(MaskgateError):
    """The key is known here and lacks the scope that this needs; `scope` names it where one does."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(MaskgateError):
    """Nothing by that name is here."""

    status, code, title = 404, "not-found", "Not found"


class ModelNotFound(NotFound):
    """No such model serves this task."""

    code, title = "model-not-found", "Model not found"


class VersionNotFound(NotFound):
    """The model has no such version."""

    code, title = "version-not-found", "Model version not found"


class SessionNotFound(NotFound):
    """No such session of this caller; it may have been there and expired."""

    code, title = "session-not-found", "Session not found"


class RequestNotFound(NotFound):
    """No request of that id of this caller runs in this process; it ended, or another process has it."""

    code, title = "request-not-found", "Request not found"


class JobNotFound(NotFound):
    """No such job of this caller; it may have been there and expired."""

    code, title = "job-not-found", "Job not found"


class ResultNotFound(NotFound):
    """The item has no result: it is not done, failed, or was cancelled; the job says which."""

    code, title = "result-not-found", "Result not found"


class UploadNotFound(NotFound):
    """No such upload of this caller; it expired, was given up, or the jobs that named it have read it."""

    code, title = "upload-not-found", "Upload not found"


class SeriesNotFound(NotFound):
    """The DICOMweb server that is configured has no such series, or none that it shows to this gateway."""

    code, title = "series-not-found", "Series not found"


class RouteNotFound(NotFound):
    """No such route."""

    code, title = "route-not-found", "Route not found"


class MethodNotAllowed(MaskgateError):
    """The route exists, the method does not."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"


class NotAcceptable(MaskgateError):
    """None of the media types in ``Accept`` can be produced."""

    status, code, title = 406, "not-acceptable", "Not acceptable"


class UploadTooSlow(MaskgateError):
    """The body did not arrive in the time a body may take."""

    status, code, title, retryable = 408, "upload-too-slow", "Upload too slow", True


class Conflict(MaskgateError):
    """The request is at odds with what is there now."""

    status, code, title = 409, "conflict", "Conflict"


class SessionChanged(Conflict):
    """Another request changed the session meanwhile; what that one did stands, this one did nothing."""

    code, title, retryable = "session-changed", "Session changed meanwhile", True


class SessionOutdated(Conflict):
    """The model that the session began with is served no more; a new session takes its successor."""

    code, title = "session-outdated", "Session outdated"


class UploadMoved(Conflict):
    """The bytes sent do not begin where the upload ends; `Upload-Offset` of a HEAD says where that is."""

    code, title = "upload-moved", "Upload goes on elsewhere"


class UploadUnfinished(Conflict):
    """A job names an upload of which bytes are missing."""

    code, title = "upload-unfinished", "Upload unfinished"


class UploadVersion(MaskgateError):
    """The upload protocol is asked for in another version than is spoken here."""

    status, code, title = 412, "upload-version", "Upload protocol version unknown"


class TooLarge(MaskgateError):
    """A declared or counted size passes a documented limit."""

    status, code, title = 413, "too-large", "Too large"


class BodyTooLarge(TooLarge):
    """The request body passes the byte limit."""

    code, title = "body-too-large", "Request body too large"


class ImageTooLarge(TooLarge):
    """The image declares more pixels, or a longer side, than is served."""

    code, title = "image-too-large", "Image too large"


class ArchiveTooLarge(TooLarge):
    """The archive unpacks to more files or bytes than is served, or swells as no honest one does."""

    code, title = "archive-too-large", "Archive too large"


class PromptTooLarge(TooLarge):
    """The prompt has more points, objects or bytes than one request may."""

    code, title = "prompt-too-large", "Prompt too large"


class JobTooLarge(TooLarge):
    """The job has more items than one may."""

    code, title = "job-too-large", "Job too large"


class DistrictsTooLarge(TooLarge):
    """There are more districts, or more bytes of them, than one request may have."""

    code, title = "districts-too-large", "Districts too large"


class FootprintsTooLarge(TooLarge):
    """There are more footprints, bytes of them, or crossings of rows, than one request may have."""

    code, title = "footprints-too-large", "Footprints too large"


class UnsupportedMedia(MaskgateError):
    """The body or a part is of a media type this route does not read."""

    status, code, title = 415, "unsupported-media", "Unsupported media type"


class CompressionUnsupported(UnsupportedMedia):
    """A DICOM or TIFF file whose compression is not one that is decoded here."""

    code, title = "compression-unsupported", "Compression not supported"


class Unprocessable(MaskgateError):
    """Well-formed, but meaningless."""

    status, code, title = 422, "unprocessable", "Unprocessable content"


class ImageUnreadable(Unprocessable):
    """The bytes begin like an image and cannot be decoded as one."""

    code, title = "image-unreadable", "Image unreadable"


class ImageUnsuitable(Unprocessable):
    """A readable image of a kind the task has no use for (animated, CMYK, too small)."""

    code, title = "image-unsuitable", "Image unsuitable"


class PixelsMissing(ImageUnsuitable):
    """A DICOM file without an image in it: a report, an encapsulated document, a header alone."""

    code, title = "pixels-missing", "No pixels in the file"


class ModalityUnsuitable(ImageUnsuitable):
    """An image of another modality than the task is about."""

    code, title = "modality-unsuitable", "Modality does not suit the task"


class BodyPartUnsuitable(ImageUnsuitable):
    """The file says that it shows another part of the body than the task is about."""

    code, title = "body-part-unsuitable", "Body part does not suit the task"


class ColourUnsuitable(ImageUnsuitable):
    """A colour picture where a grey one is needed."""

    code, title = "colour-unsuitable", "Colour picture instead of a grey one"


class GeometryUnsuitable(ImageUnsuitable):
    """The file does not say where its pixels lie in space, or nonsense."""

    code, title = "geometry-unsuitable", "Geometry missing or meaningless"


class GeographyMissing(ImageUnsuitable):
    """The image does not say where on Earth it lies, and the answer that is asked for does."""

    code, title = "geography-missing", "Image has no geography"


class BandsUnsuitable(ImageUnsuitable):
    """The bands of a TIFF image are not those of a picture in RGB or grey."""

    code, title = "bands-unsuitable", "Bands are not those of a picture"


class UnitsImplausible(ImageUnsuitable):
    """A CT whose values cannot be Hounsfield units, and whose file does not say that they are."""

    code, title = "units-implausible", "Values that are no Hounsfield units"


class ArchiveUnsuitable(Unprocessable):
    """A zip archive that cannot be read as a series: damaged, encrypted, nested, or with names that climb out."""

    code, title = "archive-unsuitable", "Archive unsuitable"


class SeriesUnsuitable(Unprocessable):
    """The files of a series do not form one."""

    code, title = "series-unsuitable", "Files do not form a series"


class SeriesMixed(SeriesUnsuitable):
    """The files are of several patients, studies, series, sizes or orientations; `detail` says which."""

    code, title = "series-mixed", "Series is mixed"


class SeriesGap(SeriesUnsuitable):
    """The slices are not evenly spaced: one or more are missing."""

    code, title = "series-gap", "Series has a gap"


class SeriesDuplicate(SeriesUnsuitable):
    """Two slices lie in one place, or a file is there twice."""

    code, title = "series-duplicate", "Series has a slice twice"


class PairMismatch(Unprocessable):
    """The pre- and the post-disaster image do not show the same frame."""

    code, title = "pair-mismatch", "Images do not form a pair"


class PairApart(PairMismatch):
    """By their geography the images share no ground, or too little; `footprints` says where each lies."""

    code, title = "pair-apart", "Images share too little ground"


class PairUnaligned(PairMismatch):
    """The caller requires the images aligned by what they show, and that is not to be had for sure."""

    code, title = "pair-unaligned", "Images cannot be aligned"


class PairUnobserved(PairMismatch):
    """Of the ground that the images share next to nothing is seen in both: an answer would read as no damage."""

    code, title = "pair-unobserved", "Images show next to nothing of their ground"


class DistrictsInvalid(Unprocessable):
    """The districts are not polygons in GeoJSON, or not on Earth: `pointer` says which one."""

    code, title = "districts-invalid", "Districts invalid"


class FootprintsInvalid(Unprocessable):
    """The footprints are not polygons in GeoJSON, or not where images lie: `pointer` says which one."""

    code, title = "footprints-invalid", "Footprints invalid"


class ModelUnsuitable(Unprocessable):
    """The model is there and cannot answer such a request by itself; `detail` names what can."""

    code, title = "model-unsuitable", "Model does not suit the request"


class TensorMismatch(Unprocessable):
    """A tensor is not of the name, type, shape or values that the model's card asks for."""

    code, title = "tensor-mismatch", "Tensor does not fit the model"


class PromptInvalid(Unprocessable):
    """A click, box, polygon or stroke is not one, or describes nothing: `errors` points at it."""

    code, title = "prompt-invalid", "Prompt invalid"


class ClickOutside(PromptInvalid):
    """A click, corner or vertex is not on the image."""

    code, title = "click-outside", "Click outside the image"


class PromptUnsuitable(Unprocessable):
    """The chosen model does not take such a prompt; `detail` names what it takes."""

    code, title = "prompt-unsuitable", "Prompt does not suit the model"


class ParameterInvalid(Unprocessable):
    """A query parameter is outside its documented values."""

    code, title = "parameter-invalid", "Parameter invalid"


class KeyReused(Unprocessable):
    """The idempotency key stood for another request before."""

    code, title = "idempotency-key-reused", "Idempotency key reused"


class InputForbidden(Unprocessable):
    """The address is of no store that inputs may come from, or leads out of it."""

    code, title = "input-forbidden", "Input is of no allowed store"


class ReferenceInvalid(Unprocessable):
    """What stands in the place of an image names no file: it is no reference, or leads to no asset of a STAC item."""

    code, title = "reference-invalid", "Reference names no file"


class UploadBusy(MaskgateError):
    """Another request writes to the upload, or a job reads it."""

    status, code, title, retryable = 423, "upload-busy", "Upload busy", True


class QuotaExceeded(MaskgateError):
    """The caller's key has asked as often, or for as much at once, as it may; `violated-policies` says which."""

    status, code, title, retryable = 429, "quota-exceeded", "Quota exceeded", True


class HeadTooLarge(MaskgateError):
    """The request line and the header fields pass the byte limit."""

    status, code, title = 431, "head-too-large", "Request header fields too large"


class ChecksumWrong(MaskgateError):
    """The bytes that arrived are not those that the checksum is of; none of them was kept."""

    status, code, title, retryable = 460, "checksum-wrong", "Checksum wrong", True


class CallerLeft(MaskgateError):
    """The caller hung up; nobody reads an answer, so none is made."""

    status, code, title = 499, "caller-left", "Caller left"


class Internal(MaskgateError):
    """A defect of ours; the log has the request id and the trace."""


class ItemLost(MaskgateError):
    """The gateway ended, each time it had begun the item of a job, as often as it tries."""

    code, title = "item-lost", "Item lost"


class JobsOff(MaskgateError):
    """The gateway keeps no jobs and no uploads."""

    status, code, title = 501, "jobs-off", "Jobs not offered"


class InputUnreachable(MaskgateError):
    """A store does not give out an input, or not as it was asked for, or more of it than is read."""

    status, code, title, retryable = 502, "input-unreachable", "Input unreachable", True


class SessionsUnshared(MaskgateError):
    """The gateway runs as several processes, and a session would be known to one of them alone."""

    status, code, title = 501, "sessions-unshared", "Sessions not offered"


class PacsMissing(MaskgateError):
    """The gateway has no DICOMweb server to read series from and to store results in."""

    status, code, title = 501, "pacs-missing", "No DICOMweb server"


class PacsFailed(MaskgateError):
    """The DICOMweb server did not answer, or not with what it was asked for; what it says is not passed on."""

    status, code, title, retryable = 502, "pacs-failed", "DICOMweb server failed", True


class UnloadUnshared(MaskgateError):
    """The gateway runs as several processes, and the others would go on serving the model."""

    status, code, title = 501, "unload-unshared", "Unloading not offered"


class Unavailable(MaskgateError):
    """Not now; a retry may succeed."""

    status, code, title, retryable = 503, "unavailable", "Service unavailable", True


class Overloaded(Unavailable):
    """Too much work or too many bytes are in flight already."""

    code, title = "overloaded", "Overloaded"


class QueueFull(Overloaded):
    """So much work waits already that the request would wait longer than any may; it was not read."""

    code, title = "queue-full", "Queue full"


class WouldBeLate(Overloaded):
    """By what such requests take, and by what waits before it, it would not be answered before its deadline.

    It was refused at once, or dropped while it waited, and never worked on. `Maskgate-Deadline` says how many seconds
    a request may take.
    """

    code, title = "would-be-late", "Would be answered too late"


class Draining(Unavailable):
    """The process is finishing what it has and takes nothing new."""

    code, title = "draining", "Shutting down"


class ModelNotReady(Unavailable):
    """The model exists but failed to load or is still loading."""

    code, title = "model-not-ready", "Model not ready"


class JobsFull(Unavailable):
    """Uploads and results leave no room for another: of the caller's share, or on the disk."""

    code, title = "jobs-full", "No room for another upload"


class SessionsFull(Unavailable):
    """The images of living sessions leave no room for another."""

    code, title = "sessions-full", "No room for another session"


class SessionsUnavailable(Unavailable):
    """The store of sessions does not answer."""

    code, title = "sessions-unavailable", "Sessions unavailable"


class DeadlineExceeded(MaskgateError):
    """The request's time is up."""

    status, code, title, retryable = 504, "deadline-exceeded", "Deadline exceeded", True
