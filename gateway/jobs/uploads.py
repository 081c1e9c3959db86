"""Uploads that go on where they broke off: the tus protocol, version 1.0, and four of its extensions.

https://tus.io/protocols/resumable-upload; creation, creation-with-upload, checksum, expiration and termination.

Why our own. `tuspyserver` 4, the one kept server library for FastAPI, was read: it has no checksums, wants each upload
to tell a file name, which it writes down and logs, and knows neither tenants nor a bound on what they hold together. Of
IETF's draft of resumable uploads no server library for Python was found.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from contextlib import suppress
from email.utils import formatdate

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    CallerLeft,
    UnsupportedMedia,
    UploadBusy,
    UploadTooSlow,
    UploadVersion,
)
from gateway.http.documentation import BINARY, problems
from gateway.http.request_path import InjectedServices, InjectedTenant
from gateway.jobs.desk import Desk, InjectedDesk
from gateway.jobs.files import PIECE, Receiving
from gateway.settings import LimitSettings

PREFIX = "/v1/uploads"
"""Where uploads stand."""

router = APIRouter(tags=["jobs"])

VERSION = "1.0.0"
_CHECKSUMS = ("sha256", "sha1", "md5")
_EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"
_BYTES = "application/offset+octet-stream"
_SPOKEN = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
_NOT_FOUND = {404: "No such upload of this caller."}


@router.options(PREFIX, summary="What of the upload protocol is spoken here?", response_class=Response)
async def options(services: InjectedServices, desk: InjectedDesk) -> Response:
    """Return the version, the extensions and the largest upload in headers."""
    headers = {
        **_SPOKEN,
        "Tus-Version": VERSION,
        "Tus-Extension": _EXTENSIONS,
        "Tus-Max-Size": str(services.settings.limits.body_bytes),
        "Tus-Checksum-Algorithm": ",".join(_CHECKSUMS),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    PREFIX,
    status_code=201,
    summary="Begin an upload",
    response_class=Response,
    openapi_extra={"requestBody": {"required": False, "content": {_BYTES: BINARY}}},
    responses=problems({413: "The upload is larger than a request may be.", 415: "The body is of another type."}),
)
async def create(request: Request, services: InjectedServices, desk: InjectedDesk, tenant: InjectedTenant) -> Response:
    """Begin an upload of `Upload-Length` bytes, which `Location` names; the body may be its first ones.

    What else the caller says of it, a file name above all, is not kept.
    """
    _check_version(request)
    length = _number(request, "Upload-Length")
    limits = services.settings.limits
    if length > limits.body_bytes:
        raise BodyTooLarge(f"An upload may have {limits.body_bytes} bytes.", limit=limits.body_bytes)
    upload = await desk.upload(tenant, length)
    offset = 0
    if request.headers.get("content-type") == _BYTES:
        receiving = Receiving(desk.files.upload(upload), 0, length, _checksum(request))
        offset = await _receive(request, limits, desk, receiving)
    headers = {
        **_SPOKEN,
        "Location": f"{PREFIX}/{upload}",
        "Upload-Offset": str(offset),
        "Upload-Expires": formatdate((await desk.books(desk.store.upload_of, tenant, upload))[1], usegmt=True),
    }
    return Response(status_code=201, headers=headers)


@router.head(
    PREFIX + "/{upload}",
    summary="How much of an upload is there?",
    response_class=Response,
    responses=problems(_NOT_FOUND),
)
async def standing(request: Request, desk: InjectedDesk, tenant: InjectedTenant, upload: str) -> Response:
    """Return the bytes that are there as `Upload-Offset`, and all that are to come as `Upload-Length`."""
    _check_version(request)
    length, expires, _ = await desk.books(desk.store.upload_of, tenant, upload)
    offset = await desk.disk(desk.files.received, upload)
    headers = {
        "Upload-Offset": str(offset),
        "Upload-Length": str(length),
        "Upload-Expires": formatdate(expires, usegmt=True),
    }
    return Response(status_code=200, headers=_SPOKEN | headers)


@router.patch(
    PREFIX + "/{upload}",
    status_code=204,
    summary="Go on with an upload",
    response_class=Response,
    openapi_extra={"requestBody": {"required": True, "content": {_BYTES: BINARY}}},
    responses=problems(
        {
            **_NOT_FOUND,
            409: "The bytes do not begin at the upload's end.",
            415: "The body is of another type.",
            423: "Another request writes to it, or a job is to read it.",
            460: "The bytes are not those that the checksum is of.",
        }
    ),
)
async def go_on(
    request: Request, services: InjectedServices, desk: InjectedDesk, tenant: InjectedTenant, upload: str
) -> Response:
    """Add the body to an upload that ends at `Upload-Offset`. What arrives before a connection breaks is kept.

    With `Upload-Checksum` (sha256, sha1 or md5, and the hash as base64) it is all or nothing.
    """
    _check_version(request)
    if request.headers.get("content-type") != _BYTES:
        raise UnsupportedMedia(f"The bytes of an upload are sent as {_BYTES}.")
    length, expires, used = await desk.books(desk.store.upload_of, tenant, upload)
    offset = _number(request, "Upload-Offset")
    if used:
        raise UploadBusy("A job is to read the upload; it is not changed any more.")
    receiving = Receiving(desk.files.upload(upload), offset, length, _checksum(request))
    offset = await _receive(request, services.settings.limits, desk, receiving)
    headers = {"Upload-Offset": str(offset), "Upload-Expires": formatdate(expires, usegmt=True)}
    return Response(status_code=204, headers=_SPOKEN | headers)


@router.delete(
    PREFIX + "/{upload}",
    status_code=204,
    summary="Give an upload up",
    response_class=Response,
    responses=problems({**_NOT_FOUND, 423: "A job is to read it."}),
)
async def give_up(request: Request, desk: InjectedDesk, tenant: InjectedTenant, upload: str) -> Response:
    """Forget an upload and what is there of it."""
    _check_version(request)
    _, _, used = await desk.books(desk.store.upload_of, tenant, upload)
    if used:
        raise UploadBusy("A job is to read the upload; cancel that first.")
    await desk.drop_upload(upload)
    return Response(status_code=204, headers=_SPOKEN)


async def _receive(request: Request, limits: LimitSettings, desk: Desk, receiving: Receiving) -> int:
    """Write the body as it arrives, a piece at a time, and return where the upload ends then.

    Raises:
        CallerLeft: the caller hung up; what had arrived is kept, but for a checksum.
        UploadTooSlow: nothing arrived for `limits.upload_stall_seconds`; as before.
        MaskgateError: as of `Receiving`.
    """
    whole = False
    piece = bytearray()
    try:
        async with asyncio.timeout(limits.upload_stall_seconds) as clock:
            async for chunk in request.stream():
                piece += chunk
                if len(piece) >= PIECE:
                    clock.reschedule(None)
                    await desk.disk(receiving.add, piece)
                    piece = bytearray()
                clock.reschedule(asyncio.get_running_loop().time() + limits.upload_stall_seconds)
        whole = True
    except TimeoutError as slow:
        raise UploadTooSlow("Nothing more arrived of the upload; go on at its end.") from slow
    except ClientDisconnect as gone:
        raise CallerLeft("The caller hung up during the upload.") from gone
    finally:
        try:
            await desk.disk(receiving.add, piece)
        finally:
            await desk.disk(_end, receiving, whole)
    return receiving.offset


def _end(receiving: Receiving, whole: bool) -> None:
    receiving.end(whole=whole)


def _check_version(request: Request) -> None:
    """Do nothing where a request speaks this version, or names none.

    Raises:
        UploadVersion: it names another.
    """
    if request.headers.get("tus-resumable", VERSION) != VERSION:
        raise UploadVersion(f"Uploads are spoken of as of tus {VERSION}.", headers={"Tus-Version": VERSION})


def _number(request: Request, name: str) -> int:
    """Return the number that a header is.

    Raises:
        BadRequest: it is none.
    """
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise BadRequest(f"{name} is missing, or no number of bytes.", pointer=f"/{name}")
    return int(text)


def _checksum(request: Request) -> tuple[str, bytes] | None:
    """Return the name of the hash and its value that a request gives, if it does.

    Raises:
        BadRequest: it is no hash that is known here, or none at all.
    """
    text = request.headers.get("upload-checksum")
    if text is None:
        return None
    name, _, value = text.partition(" ")
    with suppress(ValueError):
        if name in _CHECKSUMS and value:
            return name, b64decode(value, validate=True)
    raise BadRequest(
        f"Upload-Checksum is one of {', '.join(_CHECKSUMS)} and a hash in base64.", pointer="/Upload-Checksum"
    )
