"""How a job comes to be: what is asked for is checked, and then written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from fastapi import Request as HttpRequest
from pydantic import ValidationError
from starlette.types import ASGIApp

from gateway.access.keys import Caller
from gateway.errors import BadRequest, BodyTooLarge, JobTooLarge, ParameterInvalid, UploadUnfinished
from gateway.http.request_path import Services
from gateway.http.uploads import declared_length, naming_part, read_body, read_only_part, read_parts
from gateway.jobs.asking import Asking
from gateway.jobs.desk import Desk, check_jobs
from gateway.jobs.model import Job, Request, Source, Wanted, joined
from gateway.jobs.schema import JobGiven, Parameters, source_of
from gateway.jobs.store import Order
from gateway.registry import TaskSpec
from gateway.scheduling.admission import Reservation
from gateway.scheduling.prices import Kind
from gateway.scheduling.timeline import Timeline
from gateway.stores.access import check_address
from gateway.stores.references import is_reference, read_references

IDEMPOTENCY_KEY = "Idempotency-Key"
_KIND = Kind("jobs", "submission", "request")
_LONGEST_KEY = 255


class Refused(Exception):
    """A task's route would answer nobody who asks like this: `document` is its problem document, which says why."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Keep the document."""
        super().__init__(document["code"])
        self.document = document


@dataclass(frozen=True)
class Submission:
    """One request that leaves a job.

    Attributes:
        services: of the app.
        desk: where the job is left.
        tasks: an app with the routes of all tasks.
        http: the request.
    """

    services: Services
    desk: Desk
    tasks: ASGIApp
    http: HttpRequest

    async def given(self) -> tuple[Job, bool]:
        """Return the job that the body describes, and whether it is new.

        Raises:
            Refused: see there.
            MaskgateError: what is asked for cannot be, or its parts are not there.
        """
        limits, declared = self.services.settings.limits, declared_length(self.http) or 0
        if declared > limits.json_bytes:
            raise BodyTooLarge(f"A job's JSON may have {limits.json_bytes} bytes.", limit=limits.json_bytes)
        timeline = Timeline(limits.deadline_seconds)
        with self.services.admission.admit(_KIND, declared, timeline) as reservation:
            body = await read_body(self.http, limits, reservation)
            # Python's objects take several times the bytes of the text.
            reservation.grow(4 * len(body))
            workers = self.services.workers
            job = await workers.run(timeline, "decode", _read, body)
            task = self._task(job.task)
            if len(job.items) > self.desk.settings.items:
                most = self.desk.settings.items
                raise JobTooLarge(f"A job may have {most} items.", limit=most, pointer="/items")
            items = await workers.run(timeline, "decode", _items, job, task, self.desk.settings.stores)
            return await self._add(
                Request(task.name, _query(job.parameters), _accept(job.accept)), items, _digest(body)
            )

    async def sent(self, task: TaskSpec) -> tuple[Job, bool]:
        """Return a job of one item, which is this very request to a task, and whether it is new.

        Raises:
            Refused, MaskgateError: as `given`.
        """
        check_jobs(self._caller)
        limits = self.services.settings.limits
        timeline = Timeline(limits.deadline_seconds)
        query = self.http.scope["query_string"].decode("latin-1")
        request = Request(task.name, query, _accept(self.http.headers.get("accept", "")))
        with self.services.admission.admit(_KIND, declared_length(self.http) or 0, timeline) as reservation:
            parts = await self._parts(task, reservation)
            run = self.services.workers.run
            said = json.dumps(
                [request.query, request.accept]
                + [[name, await run(timeline, "decode", _digest, part)] for name, part in sorted(parts.items())]
            )
            asked = _digest(said.encode())
            known = await self.desk.books(self.desk.store.known, self._tenant, self._key(), asked)
            if known is not None:
                return known, False
            await self._check(request)
            named = {part.name for part in task.parts if part.by_reference and is_reference(parts.get(part.name, b""))}
            uploads = {name: await self._put(part) for name, part in parts.items() if name not in named}
            try:
                sources = {name: Source("upload", upload) for name, upload in uploads.items()}
                for name in named:
                    with naming_part(name):
                        read_references(bytes(parts[name]), self.desk.settings.stores)
                    sources[name] = Source("reference", bytes(parts[name]).decode())
                return await self._add(request, [Wanted(sources)], asked, checked=True)
            except BaseException:
                for upload in uploads.values():
                    await self.desk.drop_upload(upload)
                raise

    async def _parts(self, task: TaskSpec, reservation: Reservation) -> dict[str, memoryview]:
        """Return the body of a request to a task: multipart, its only part itself, or none at all."""
        limits = self.services.settings.limits
        chunked = "transfer-encoding" in self.http.headers
        if not chunked and not declared_length(self.http):
            return {}
        if len(task.parts) == 1:
            return await read_only_part(task.parts[0], self.http, limits, reservation)
        return await read_parts(task.required_parts, self.http, limits, reservation, task.optional_parts)

    async def _add(
        self, request: Request, items: Sequence[Wanted], asked: str, *, checked: bool = False
    ) -> tuple[Job, bool]:
        key = self._key()
        known = await self.desk.books(self.desk.store.known, self._tenant, key, asked)
        if known is not None:
            return known, False
        if not checked:
            await self._check(replace(request, query=joined(request.query, items[0].query)))
            await self.desk.books(self._check_uploads, items)
        return await self.desk.add(
            Order(self._tenant, request, items, self.desk.keep_seconds(self._tenant), asked, key)
        )

    async def _check(self, request: Request) -> None:
        """Do nothing where the task's route takes such requests.

        Raises:
            Refused: it would refuse them all, for their parameters or for `Accept`.
        """
        asking = Asking(self.tasks, self._caller, self.http.scope["state"]["request_id"])
        objection = await asking.objection(self.desk, request)
        if objection is not None:
            raise Refused(objection)

    def _check_uploads(self, items: Sequence[Wanted]) -> None:
        for number, item in enumerate(items):
            for part, source in item.sources.items():
                if source.kind != "upload":
                    continue
                length, _, _ = self.desk.store.upload_of(self._tenant, source.value)
                if self.desk.files.received(source.value) < length:
                    raise UploadUnfinished(
                        "An upload that the job names is not finished.", pointer=f"/items/{number}/parts/{part}"
                    )

    async def _put(self, part: memoryview) -> str:
        upload = await self.desk.upload(self._tenant, len(part))
        await self.desk.disk(self.desk.files.upload(upload).write_bytes, part)
        return upload

    def _task(self, name: str) -> TaskSpec:
        task = self.services.settings.registry.tasks.get(name)
        if task is None:
            known = ", ".join(self.services.settings.registry.tasks)
            raise ParameterInvalid(f"There is no such task; there are {known}.", pointer="/task")
        check_jobs(self._caller, name)
        return task

    @property
    def _caller(self) -> Caller:
        caller: Caller = self.http.scope["state"]["caller"]
        return caller

    @property
    def _tenant(self) -> str:
        return self._caller.tenant

    def _key(self) -> str | None:
        key = self.http.headers.get(IDEMPOTENCY_KEY)
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise BadRequest(f"{IDEMPOTENCY_KEY} has 1 to {_LONGEST_KEY} characters.", pointer=f"/{IDEMPOTENCY_KEY}")
        return key


def _read(body: bytearray) -> JobGiven:
    """Return the job that a body describes.

    Raises:
        BadRequest: it is no JSON.
        ParameterInvalid: it describes none; points at the first place at fault.
    """
    try:
        return JobGiven.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequest("The body is not JSON.") from None
        steps = [str(step) for step in first["loc"]]
        raise ParameterInvalid(
            "The job is not as GET /docs describes one.", pointer="/" + "/".join(steps) if steps else None
        ) from None


def _items(job: JobGiven, task: TaskSpec, stores: Sequence[str]) -> list[Wanted]:
    """Return the items of a job.

    Raises:
        ParameterInvalid: one lacks a part, or has one that the task does not know.
        InputForbidden: an address is of no store.
    """
    known = {part.name for part in task.parts}
    by_reference = {part.name for part in task.parts if part.by_reference}
    items: list[Wanted] = []
    for number, item in enumerate(job.items):
        at = f"/items/{number}/parts"
        missing = [name for name in task.required_parts if name not in item.parts]
        if missing and (item.parts or not item.parameters):
            raise ParameterInvalid(f"The part '{missing[0]}' is missing.", pointer=at)
        if strange := sorted(item.parts.keys() - known):
            raise ParameterInvalid(f"The parts are {' and '.join(known)}.", pointer=f"{at}/{strange[0]}")
        sources: dict[str, Source] = {}
        for name, given in item.parts.items():
            source = source_of(given)
            if source.kind == "url":
                check_address(source.value, stores, pointer=f"{at}/{name}/url")
            if source.kind == "reference":
                if name not in by_reference:
                    raise ParameterInvalid("This part is not taken by reference.", pointer=f"{at}/{name}/reference")
                with naming_part(f"{at[1:]}/{name}/reference"):
                    read_references(source.value.encode(), stores)
            sources[name] = source
        items.append(Wanted(sources, item.name, _query(item.parameters)))
    return items


def _accept(said: str) -> str:
    """Return what a caller accepts; empty: anything, which may be said in two ways and is one request."""
    return "" if said.strip() == "*/*" else said


def _query(parameters: Parameters) -> str:
    return urlencode({name: _shown(value) for name, value in parameters.items()}, doseq=True)


def _shown(value: object) -> object:
    """Return a parameter as a query has it."""
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else value


def _digest(content: bytes | bytearray | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()
