"""The routes of MONAI Label's server that its plug-ins call, under `/` and under `/monai`."""

from __future__ import annotations

import io
import json
import re
import time
import uuid
import zipfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from maskgate_monai_label.services import MEDIA_TYPES, NRRD, Gateway, Pacs, Refused
from maskgate_monai_label.volumes import Nifti, prompt_of, uncompressed, with_mask

_MOST_BYTES = 1 << 30
_SECONDS = 3600.0
_OBJECT = "object"
_EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".bin")
_NO_LABELS = "Labels are not kept here: start the adapter with --labels FOLDER."


class Sessions:
    """Images in memory until their sessions end, or the oldest make room.

    Args:
        most: bytes of all together.
        seconds: how long one lives after its last use.
    """

    def __init__(self, most: int = _MOST_BYTES, seconds: float = _SECONDS) -> None:
        """Have none."""
        self._most, self._seconds = most, seconds
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def add(self, image: bytes) -> str:
        """Keep an image; returns its session's name.

        Raises:
            Refused: it is larger than all may be.
        """
        if len(image) > self._most:
            raise Refused(413, f"A session holds {self._most} bytes at most.")
        self._expire()
        while self._kept and sum(len(kept) for _, kept in self._kept.values()) + len(image) > self._most:
            self._kept.popitem(last=False)
        name = str(uuid.uuid4())
        self._kept[name] = (time.monotonic(), image)
        return name

    def image(self, name: str) -> bytes:
        """Return the image of a session.

        Raises:
            Refused: there is none of that name.
        """
        self._expire()
        if name not in self._kept:
            raise Refused(404, f"Session ({name}) Not Found")
        image = self._kept[name][1]
        self._kept[name] = (time.monotonic(), image)
        self._kept.move_to_end(name)
        return image

    def end(self, name: str) -> None:
        """Let go of a session.

        Raises:
            Refused: there is none of that name.
        """
        self.image(name)
        del self._kept[name]

    def _expire(self) -> None:
        oldest = time.monotonic() - self._seconds
        while self._kept and next(iter(self._kept.values()))[0] < oldest:
            self._kept.popitem(last=False)


@dataclass(frozen=True)
class Adapter:
    """The protocol.

    Attributes:
        gateway: answers.
        pacs: what images are in that are named by their SeriesInstanceUID; None: none are.
        sessions: images that were sent.
        labels: folder that corrected labels are kept in; None: they are not.
    """

    gateway: Gateway
    pacs: Pacs | None
    sessions: Sessions
    labels: Path | None

    async def info(self, request: Request) -> Response:
        """Say which models there are, and their labels."""
        cards = await self.gateway.cards()
        models = {card["name"]: _model(card) for card in cards}
        labels = dict.fromkeys(label for model in models.values() for label in model["labels"])
        total = len(await self.pacs.listed()) if self.pacs else 0
        told = {
            "name": "Maskgate",
            "description": "Lesions in chest CT and objects by clicks; research demonstrations, not a diagnosis",
            "version": "0.2.0",
            "labels": [*labels],
            "models": models,
            "datastore": {"total": total, "completed": 0},
        }
        # What there is none of; of a server with `config` 3D Slicer says that it is too old.
        empty: dict[str, Any] = {name: {} for name in ("trainers", "strategies", "scoring", "train_stats", "config")}
        return JSONResponse(told | empty)

    async def begin(self, request: Request) -> Response:
        """Keep an image for a session: one file, or the DICOM files of a series."""
        async with request.form() as form:
            files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
            image = _together([await one.read() for one in files])
        name = self.sessions.add(image)
        return JSONResponse({"session_id": name, "session_info": _session(name)})

    async def session(self, request: Request) -> Response:
        """Say that a session lives, or end it."""
        name = request.path_params["name"]
        if request.method == "DELETE":
            self.sessions.end(name)
        else:
            self.sessions.image(name)
        return JSONResponse(_session(name))

    async def infer(self, request: Request) -> Response:
        """Answer with a label volume of a model."""
        model = request.path_params["model"]
        async with request.form() as form:
            params, image = _params(form), await _image(form)
        if name := request.query_params.get("session_id"):
            image = self.sessions.image(name)
        series = request.query_params.get("image", "")
        card = await self.gateway.card(model)
        if card["task"] == "interactive":
            content, notices = await self._object(model, image, series, params)
        else:
            content, notices = await self._lesions(model, image, series, params)
        told = {"label_names": _model(card)["labels"], "notices": notices}
        return _result(content, told, request.query_params.get("output", "all"), params)

    async def datastore(self, request: Request) -> Response:
        """List the CTs of the PACS, by their SeriesInstanceUIDs."""
        listed = await self.pacs.listed() if self.pacs else []
        if request.query_params.get("output") == "all":
            objects = {uid: {"image": {"ext": "", "info": {}}, "labels": self._labels_of(uid)} for uid in listed}
            return JSONResponse({"name": "Maskgate", "description": "", "objects": objects})
        return JSONResponse({"total": len(listed), "completed": sum(bool(self._labels_of(uid)) for uid in listed)})

    async def label(self, request: Request) -> Response:
        """Keep a corrected label, or give it back."""
        if self.labels is None:
            raise Refused(501, _NO_LABELS)
        if request.method == "GET":
            file = self._kept_label(request.query_params.get("label", ""))
            return FileResponse(file, filename=file.name)
        name = _safe(request.query_params.get("image", ""))
        async with request.form() as form:
            sent = form.get("label")
            if not isinstance(sent, UploadFile):
                raise Refused(400, "The part 'label' is missing.")
            extension = next((one for one in _EXTENSIONS if (sent.filename or "").endswith(one)), ".bin")
            content, params = await sent.read(), _params(form)
        await run_in_threadpool(self._keep, name, extension, content, params)
        return JSONResponse({"image": name, "label": name, "tag": "final"})

    async def _lesions(self, model: str, image: bytes | None, series: str, params: dict[str, Any]) -> tuple[bytes, str]:
        media_type = MEDIA_TYPES.get(params.get("result_extension") or ".nrrd")
        if media_type is None:
            raise Refused(422, f"Results are {', '.join(MEDIA_TYPES)}.")
        source = image if image is not None else {"study": await self._pacs().study_of(series), "series": series}
        answer = await self.gateway.lesions(model, media_type, source)
        content = answer.content
        if media_type == NRRD and params.get("result_compress") is False:
            content = await run_in_threadpool(uncompressed, content)
        return content, answer.notices

    async def _object(self, model: str, image: bytes | None, series: str, params: dict[str, Any]) -> tuple[bytes, str]:
        if image is not None:
            volume = await run_in_threadpool(Nifti, image)
            prompt, number = prompt_of(params, *_within(volume.shape))
            _check_slice(number, volume.shape)
            picture = await run_in_threadpool(volume.picture, number)
            answer = await self.gateway.object(model, picture, prompt)
            return await run_in_threadpool(volume.with_mask, answer.content, number), answer.notices
        found = await self._pacs().series(series)
        prompt, number = prompt_of(params, *_within(found.shape))
        _check_slice(number, found.shape)
        answer = await self.gateway.object(model, await self._pacs().picture(found, number), prompt)
        return await run_in_threadpool(with_mask, found, answer.content, number), answer.notices

    def _pacs(self) -> Pacs:
        if self.pacs is None:
            raise Refused(404, "There is no PACS: begin a session with the image.")
        return self.pacs

    def _labels_of(self, uid: str) -> dict[str, Any]:
        if self.labels is None:
            return {}
        kept = [extension for extension in _EXTENSIONS if (self.labels / f"{_safe(uid)}{extension}").is_file()]
        return {"final": {"ext": kept[0], "info": {}}} if kept else {}

    def _kept_label(self, name: str) -> Path:
        for extension in _EXTENSIONS:
            if self.labels and (file := self.labels / f"{_safe(name)}{extension}").is_file():
                return file
        raise Refused(404, "There is no such label.")

    def _keep(self, name: str, extension: str, content: bytes, params: dict[str, Any]) -> None:
        if self.labels is None:
            raise Refused(501, _NO_LABELS)
        self.labels.mkdir(parents=True, exist_ok=True)
        (self.labels / f"{name}{extension}").write_bytes(content)
        (self.labels / f"{name}.json").write_text(json.dumps(params), encoding="utf-8")


def create_app(adapter: Adapter, origins: Sequence[str] = ()) -> Starlette:
    """Return the adapter as an ASGI app.

    Args:
        adapter: the protocol.
        origins: of pages, such as OHIF's, that may call it.
    """
    routes = [
        Route("/info/", adapter.info),
        Route("/session/", adapter.begin, methods=["PUT"]),
        Route("/session/{name}", adapter.session, methods=["GET", "DELETE"]),
        Route("/infer/{model}", adapter.infer, methods=["POST"]),
        Route("/datastore/", adapter.datastore),
        Route("/datastore/label", adapter.label, methods=["GET", "PUT"]),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await adapter.gateway.close()
        if adapter.pacs is not None:
            await adapter.pacs.close()

    async def refused(request: Request, error: Refused) -> Response:
        return JSONResponse({"detail": error.detail}, error.status)

    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {Refused: refused}
    cors = Middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"])
    middleware = [cors] if origins else []
    both = [Mount("/monai", routes=routes), *routes]
    return Starlette(routes=both, lifespan=lifespan, exception_handlers=handlers, middleware=middleware)


def _model(card: dict[str, Any]) -> dict[str, Any]:
    """Return a model as the protocol describes it."""
    clicks = card["task"] == "interactive"
    labels = {_OBJECT: 1} if clicks else {one["name"]: one["value"] for one in card["classes"] if one["value"]}
    return {
        "type": "deepgrow" if clicks else "segmentation",
        "labels": labels,
        "dimension": 2 if clicks else 3,
        "description": card["title"],
        "config": {},
    }


def _session(name: str) -> dict[str, Any]:
    return {"name": name, "image": name, "expiry": int(_SECONDS)}


def _together(files: Sequence[bytes]) -> bytes:
    """Return the files of an image as one: a zip where there are several."""
    if not files:
        raise Refused(404, "Image(s) Not Found")
    if len(files) == 1:
        return files[0]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as directory:
        for number, file in enumerate(files):
            directory.writestr(str(number), file)
    return archive.getvalue()


def _params(form: FormData) -> dict[str, Any]:
    try:
        params = json.loads(str(form.get("params") or "{}"))
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise Refused(400, "params is not a JSON object.")
    return params


async def _image(form: FormData) -> bytes | None:
    sent = form.get("file")
    return await sent.read() if isinstance(sent, UploadFile) else None


def _within(shape: Sequence[int]) -> tuple[int, int]:
    return shape[0], shape[1]


def _check_slice(number: int, shape: Sequence[int]) -> None:
    if not 0 <= number < shape[2]:
        raise Refused(422, f"There is no slice {number}.")


def _safe(name: str) -> str:
    """Return a name without what could lead out of a folder."""
    safe = re.sub(r"[^\w.-]", "_", name).lstrip(".")
    if not safe:
        raise Refused(400, "The image has no name.")
    return safe


def _result(content: bytes, told: dict[str, Any], output: str, params: dict[str, Any]) -> Response:
    """Return a label volume and what is said of it, as `output` asks: image, json, or both as multipart."""
    if output == "json":
        return JSONResponse(told)
    if output == "image":
        return Response(content, media_type="application/octet-stream")
    boundary = uuid.uuid4().hex
    extension = params.get("result_extension") or ".nrrd"
    parts = [
        b'Content-Disposition: form-data; name="params"\r\nContent-Type: application/json\r\n\r\n',
        json.dumps(told).encode(),
        b"\r\n--" + boundary.encode() + b"\r\n",
        f'Content-Disposition: form-data; name="image"; filename="label{extension}"\r\n'.encode(),
        b"Content-Type: application/octet-stream\r\n\r\n",
        content,
    ]
    body = b"".join([f"--{boundary}\r\n".encode(), *parts, f"\r\n--{boundary}--\r\n".encode()])
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")
