"""One request of a session: what was clicked is answered, and then kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from fastapi import Response

from gateway.errors import DeadlineExceeded, ModelNotFound, PromptTooLarge, SessionOutdated, VersionNotFound
from gateway.http.request_path import Job, Parts, Services, decode_part, digest_of, probe_parts
from gateway.http.uploads import naming_part
from gateway.sessions.store import Session, new_id
from gateway.tasks.interactive.inputs import BYTES_PER_PIXEL, LEAST_SIDE, check_prompts, read_prompts
from gateway.tasks.interactive.outputs import Form, Found, mask_answer, respond
from gateway.tasks.interactive.pipeline import choose_selector
from gateway.tasks.interactive.prompts import Prompt, check_prompt
from gateway.tasks.interactive.schema import MaskAnswer
from gateway.tasks.interactive.selectors import InteractiveRun, Memory, Picture, Selection, Selector
from gateway.tasks.interactive.session_clicks import prompts_of, read_click, written
from gateway.vision.masks import ObjectMask

# Bytes of a click, and clicks before it, that are read on the event loop: a thread is asked for in twice the time.
_BRIEF, _FEW = 1024, 16

_changing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
"""By the session's id, held while a request of this process changes it."""


@dataclass(frozen=True)
class Sitting:
    """A session for the time of one request.

    The session is looked up, and what came of it kept, outside the request's turn: where the store does not answer,
    nobody else waits for it.

    Attributes:
        job: the request.
        session: as it stood when the request came.
        selector: what answers in it.
        picture: its image, fetched when it is needed: features that are kept save it.
    """

    job: Job[Any]
    session: Session
    selector: Selector
    picture: Picture

    @classmethod
    async def of(cls, job: Job[Any], tenant: str, name: str) -> Sitting:
        """Return the session of the id `name`.

        Raises:
            SessionNotFound: `tenant` has none of that id.
            SessionOutdated: its model is served no more.
            ModelNotReady: its model is not ready now.
        """
        store = job.services.sessions
        session = await store.get(tenant, name)
        selector = _pinned(job.services, session)
        job.reservation.grow(session.width * session.height * BYTES_PER_PIXEL)
        return cls(job, session, selector, Picture(session.height, session.width, lambda: store.pixels(session)))

    async def add(self, text: bytearray, form: Form) -> Response:
        """Return the object that was clicked, and keep the click, whose JSON is `text`.

        Raises:
            BadRequest: it is not JSON.
            PromptInvalid, PromptTooLarge, PromptUnsuitable: the click, or what the object's clicks add up to now, shows
                nothing or not what the selector takes; the session stays as it was.
            SessionChanged: another request was faster.
        """
        settings = self.job.services.settings
        if len(self.session.events) >= settings.sessions.clicks:
            raise PromptTooLarge(
                f"A session may have {settings.sessions.clicks:,} clicks; begin another.",
                limit=settings.sessions.clicks,
            )
        if len(text) <= _BRIEF and len(self.session.events) <= _FEW:
            number, added, prompt = self.job.at_once("decode", self._joined, text)
        else:
            number, added, prompt = await self.job.run("decode", self._joined, text)
        async with self._alone():
            async with self.job.turn():
                selection = await self._select(prompt)
                response = await self._respond([selection], form, number)
            # What was found for a box or a click is kept with it: what was seen from there is what further clicks mend.
            if not prompt.positive:
                added = replace(added, positive=selection.prompt.positive)
            if prompt.corners is None:
                added = replace(added, corners=selection.prompt.corners)
            return await self._keep(self.session.prompted(number, written(added)), response)

    async def take_back(self, number: int | None, form: Form) -> Response:
        """Return what is left of the object whose last click is forgotten: `number`, or the one clicked last.

        Raises:
            Conflict: there is no click.
            SessionChanged: another request was faster.
        """
        changed, number = self.session.undone(number)
        prompts = await self.job.run("decode", prompts_of, changed)
        left = [prompt for prompt in prompts[number - 1 : number] if prompt.given()]
        async with self._alone():
            async with self.job.turn():
                selections = [await self._select(prompt) for prompt in left]
                response = await self._respond(selections, form, number)
            return await self._keep(changed, response)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Let one request at a time change the session in this process, and the others know before they work.

        Raises:
            SessionChanged: another request was faster.
            DeadlineExceeded: the request's time was up while another changed the session.
        """
        lock = _changing.setdefault(self.session.id, asyncio.Lock())
        timeline = self.job.timeline
        try:
            with timeline.measure("queue"):
                async with asyncio.timeout(timeline.remaining()):
                    await lock.acquire()
        except TimeoutError as late:
            raise DeadlineExceeded("The deadline passed while another request changed the session.") from late
        try:
            await self.job.services.sessions.check(self.session)
            yield
        finally:
            lock.release()

    async def show(self, form: Form) -> Response:
        """Return all objects, later ones on top."""
        prompts = await self.job.run("decode", prompts_of, self.session)
        async with self.job.turn():
            selections = [await self._select(prompt) for prompt in prompts]
            response = await self._respond(selections, form)
        response.headers["Maskgate-Revision"] = str(self.session.revision)
        return response

    async def begin(self, prompts: Sequence[tuple[str, Prompt]], form: Form) -> tuple[Session, MaskAnswer]:
        """Return the session with its first objects, and these; `prompts` come with pointers to them."""
        selections = []
        async with self.job.turn():
            for pointer, prompt in prompts:
                with naming_part(pointer):
                    selections.append(await self._select(prompt))
            pixels = await self.picture.pixels() if form.paints else None
            answer = await self.job.run("encode", mask_answer, self._found(selections), form, pixels)
        begun = self.session
        for number, selection in enumerate(selections, start=1):
            begun = begun.prompted(number, written(selection.prompt))
        await self.job.services.sessions.replace(self.session, begun)
        return begun, answer

    def _joined(self, text: bytearray) -> tuple[int, Prompt, Prompt]:
        """Return the number of an object, what was clicked and what its clicks add up to then, after checks of both."""
        size, limits = (self.session.width, self.session.height), self.job.services.settings.limits
        most, click = limits.prompt_points, read_click(text)
        number = click.number(self.session, limits)
        added = check_prompt(click.prompt, *size, most)
        prompts = [*prompts_of(self.session), Prompt()]
        prompt = prompts[number - 1].joined(added)
        check_prompt(prompt, *size, most)
        self.selector.intake.check(self.selector.name, prompt)
        return number, added, prompt

    async def _select(self, prompt: Prompt) -> Selection:
        if not prompt.given():
            # All clicks of an object that is not the last were taken back: its number stays.
            return Selection(ObjectMask.nothing(self.session.height, self.session.width), prompt)
        selection = await self.selector.select(self._run, self.picture, prompt, self.session.threshold)
        self.job.reservation.grow(selection.mask.inside.nbytes)
        return selection

    async def _respond(self, selections: Sequence[Selection], form: Form, number: int | None = None) -> Response:
        response = await respond(replace(self._found(selections), object=number), form, self._run)
        if number is not None:
            response.headers["Maskgate-Object"] = str(number)
        return response

    async def _keep(self, changed: Session, response: Response) -> Response:
        await self.job.services.sessions.replace(self.session, changed)
        response.headers["Maskgate-Revision"] = str(changed.revision)
        return response

    def _found(self, selections: Sequence[Selection]) -> Found:
        session, engine = self.session, self.job.services.engine
        return Found(self.selector, engine, self.picture, session.image, selections, session.notices)

    @property
    def _run(self) -> InteractiveRun:
        return InteractiveRun.of(
            self.job.inference, Memory(self.job.services.features, self.session.tenant, self.session.image)
        )


async def begin(
    job: Job[Parts], tenant: str, selector: Selector, threshold: float | None, form: Form
) -> tuple[Session, MaskAnswer | None]:
    """Return a new session with the image of the parts, and the answer to the part `prompt`, where there is one.

    Raises:
        SessionsFull: there is no room for the image.
        MaskgateError: as reading, decoding and selecting; no session is left behind.
    """
    store, limits = job.services.sessions, job.services.settings.limits
    async with job.turn():
        given = "prompt" in job.body
        prompts = await job.run("decode", read_prompts, job.body["prompt"], limits) if given else {}
        (info,) = await probe_parts(job, ["image"], least=LEAST_SIDE)
        prompts = await job.run("decode", check_prompts, prompts, selector, info.size, limits)
        # The image itself is something to do too.
        job.reservation.expect(1 + len(prompts))
        job.reservation.grow(info.pixels * BYTES_PER_PIXEL)
        image = await decode_part(job, "image", info)
        digest = await job.run("decode", digest_of, job.body["image"])
    height, width = image.pixels.shape[:2]
    model = selector.model
    session = Session(
        id=new_id(),
        tenant=tenant,
        image=digest,
        width=width,
        height=height,
        notices=image.notices,
        model=selector.name,
        version=model.version if model else None,
        digest=model.digest if model else None,
        threshold=threshold,
    )
    await store.create(session, image.pixels)
    if not prompts:
        return session, None
    try:
        return await Sitting(job, session, selector, Picture.of(image.pixels)).begin(list(prompts.items()), form)
    except BaseException:
        # Nobody was told of it, so nobody could end it.
        await store.delete(session)
        raise


def _pinned(services: Services, session: Session) -> Selector:
    """Return what the session began with.

    Raises:
        SessionOutdated: it is not there any more, or its file is another.
        ModelNotReady: it is not ready now.
    """
    try:
        selector = choose_selector(services.engine, session.model, session.version)
    except (ModelNotFound, VersionNotFound) as gone:
        raise _outdated(session) from gone
    if (selector.model.digest if selector.model else None) != session.digest:
        raise _outdated(session)
    return selector


def _outdated(session: Session) -> SessionOutdated:
    return SessionOutdated(
        f"The session began with version {session.version} of {session.model}, which is served no more: begin anew."
    )
