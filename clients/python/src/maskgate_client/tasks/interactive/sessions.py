"""A session as an object: the image is with the gateway, and each click is answered with a mask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from maskgate_client.call import Call
from maskgate_client.errors import MaskgateError
from maskgate_client.methods import AsyncSend, AsyncSender, Send, Sender, dressed
from maskgate_client.tasks.interactive import protocol
from maskgate_client.tasks.interactive.answers import Extra, MaskReport, ObjectMask, SessionState
from maskgate_client.tasks.interactive.prompts import Point, Prompt

P = ParamSpec("P")
T = TypeVar("T")


class _Steps:
    """What a session remembers between two calls, and what each of its calls sends."""

    def __init__(self, started: SessionState) -> None:
        self.started = started
        self.which: protocol.Which = None

    def add(self, prompt: Prompt) -> Call[ObjectMask]:
        """Return the object with this added to its prompt; several parts at once cost one answer."""
        return self._forgetting(protocol.add(self.started.id, prompt, self.which))

    def box(self, x0: float, y0: float, x1: float, y1: float, *, tight: bool = True) -> Call[ObjectMask]:
        """Return the object in the box of two opposite corners; not `tight`: it was drawn a little outside."""
        return self.add(Prompt(box=(x0, y0, x1, y1), tight=tight))

    def click(self, x: float, y: float, *, positive: bool = True) -> Call[ObjectMask]:
        """Return the object after a click on it, or beside it."""
        return self.add(Prompt(positive=[(x, y)]) if positive else Prompt(negative=[(x, y)]))

    def extreme(self, *points: Point) -> Call[ObjectMask]:
        """Return the object of four extreme points."""
        return self.add(Prompt(extreme=points))

    def polygon(self, *points: Point) -> Call[ObjectMask]:
        """Return the object inside an outline."""
        return self.add(Prompt(polygon=points))

    def stroke(self, *points: Point, positive: bool = True) -> Call[ObjectMask]:
        """Return the object after a line is drawn on it, or beside it."""
        return self.add(Prompt(strokes=[points]) if positive else Prompt(background_strokes=[points]))

    def undo(self, value: int | None = None) -> Call[ObjectMask | None]:
        """Take the last step back, or that of the object of a number; return what is left of its object, or None."""
        return self._forgetting(protocol.undo(self.started.id, value))

    def reset(self) -> Call[None]:
        """Take all steps back; the image stays."""
        return self._forgetting(protocol.reset(self.started.id))

    def report(self, *, include: Sequence[Extra] = ()) -> Call[MaskReport]:
        """Return all objects, and the pictures or the COCO file to `include`."""
        return protocol.report(self.started.id, include)

    def state(self) -> Call[SessionState]:
        """Return how the session stands."""
        return protocol.state(self.started.id)

    def _forgetting(self, call: Call[T]) -> Call[T]:
        """Return `call`; where it is answered, the object that was chosen before holds no more."""

        def read(response: httpx.Response) -> T:
            answer = call.read(response)
            self.which = None
            return answer

        return replace(call, read=read)


class _Clicked:
    """What both kinds of session have without sending anything."""

    def __init__(self, started: SessionState) -> None:
        self.started = started
        self._steps = _Steps(started)

    def next_object(self) -> None:
        """Let what is added next begin another object; nothing is sent yet."""
        self._steps.which = "new"

    def return_to(self, value: int) -> None:
        """Let what is added next be for the object of this number; nothing is sent yet."""
        self._steps.which = value


def _step(ask: Callable[Concatenate[_Steps, P], Call[T]]) -> Callable[Concatenate[Session, P], T]:
    def method(self: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(ask(self._steps, *args, **kwargs))

    return dressed(method, ask, bound=True)


def _awaited_step(
    ask: Callable[Concatenate[_Steps, P], Call[T]],
) -> Callable[Concatenate[AsyncSession, P], Coroutine[Any, Any, T]]:
    async def method(self: AsyncSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(ask(self._steps, *args, **kwargs))

    return dressed(method, ask, bound=True)


class Session(_Clicked):
    """One image, clicked on step by step; `Client.interactive` begins and ends it.

    Clicks and strokes add up to the prompt of one object, of which the newest box, extreme points or outline counts;
    `next_object` goes on to another. One call at a time: where two meet, also of another program, one of them raises
    `Conflict` and was not kept. It is not sent again by itself, for the mask it was meant to mend is another now.
    `SessionLost` says that the session is over. After any other error it stands as it did, except that after
    `Unreachable` nobody knows whether the last call was kept; `state` tells.

    Attributes:
        started: how it stood when it began: size, model, notices.
    """

    def __init__(self, send: Send, started: SessionState) -> None:
        """Go on with a session that the gateway has begun."""
        super().__init__(started)
        self._send = send

    add = _step(_Steps.add)
    box = _step(_Steps.box)
    click = _step(_Steps.click)
    extreme = _step(_Steps.extreme)
    polygon = _step(_Steps.polygon)
    stroke = _step(_Steps.stroke)
    undo = _step(_Steps.undo)
    reset = _step(_Steps.reset)
    report = _step(_Steps.report)
    state = _step(_Steps.state)


class AsyncSession(_Clicked):
    """`Session` for asyncio: the same calls, arguments, answers and errors, awaited where they send something."""

    def __init__(self, send: AsyncSend, started: SessionState) -> None:
        """Go on with a session that the gateway has begun."""
        super().__init__(started)
        self._send = send

    add = _awaited_step(_Steps.add)
    box = _awaited_step(_Steps.box)
    click = _awaited_step(_Steps.click)
    extreme = _awaited_step(_Steps.extreme)
    polygon = _awaited_step(_Steps.polygon)
    stroke = _awaited_step(_Steps.stroke)
    undo = _awaited_step(_Steps.undo)
    reset = _awaited_step(_Steps.reset)
    report = _awaited_step(_Steps.report)
    state = _awaited_step(_Steps.state)


def blocking_session(
    begin: Callable[P, Call[SessionState]],
) -> Callable[Concatenate[Sender, P], AbstractContextManager[Session]]:
    """Return the method of a blocking client whose block is a session that begins with `begin`."""

    @contextmanager
    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Session]:
        started = self._send(begin(*args, **kwargs))
        try:
            yield Session(self._send, started)
        finally:
            with suppress(MaskgateError):
                self._send(protocol.end(started.id))

    return dressed(method, begin, returns="Iterator[Session]")


def awaited_session(
    begin: Callable[P, Call[SessionState]],
) -> Callable[Concatenate[AsyncSender, P], AbstractAsyncContextManager[AsyncSession]]:
    """Return the method of an asynchronous client whose block is a session that begins with `begin`."""

    @asynccontextmanager
    async def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[AsyncSession]:
        started = await self._send(await asyncio.to_thread(begin, *args, **kwargs))
        try:
            yield AsyncSession(self._send, started)
        finally:
            with suppress(MaskgateError):
                await self._send(protocol.end(started.id))

    return dressed(method, begin, returns="AsyncIterator[AsyncSession]")
