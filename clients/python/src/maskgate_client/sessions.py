"""A session as an object: the image is with the gateway, and each click is answered with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from maskgate_client import mask_protocol
from maskgate_client.mask_protocol import Which
from maskgate_client.masks import Extra, MaskReport, ObjectMask, SessionState
from maskgate_client.prompts import Point, Prompt
from maskgate_client.protocol import Call

T = TypeVar("T")


class Send(Protocol):
    """Carries a call to the gateway and returns its answer."""

    def __call__(self, call: Call[T]) -> T:
        """Return what the gateway answers; errors as of `Client`."""


class AsyncSend(Protocol):
    """`Send`, awaited."""

    async def __call__(self, call: Call[T]) -> T:
        """Return what the gateway answers; errors as of `Client`."""


class Session:
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
        self.started = started
        self._send = send
        self._which: Which = None

    def add(self, prompt: Prompt) -> ObjectMask:
        """Return the object with this added to its prompt; several parts at once cost one answer."""
        found = self._send(mask_protocol.add(self.started.id, prompt, self._which))
        self._which = None
        return found

    def box(self, x0: float, y0: float, x1: float, y1: float, *, tight: bool = False) -> ObjectMask:
        """Return the object in the box of two opposite corners; `tight`: the box touches it."""
        return self.add(Prompt(box=(x0, y0, x1, y1), tight=tight))

    def click(self, x: float, y: float, *, positive: bool = True) -> ObjectMask:
        """Return the object after a click on it, or beside it."""
        return self.add(Prompt(positive=[(x, y)]) if positive else Prompt(negative=[(x, y)]))

    def extreme(self, *points: Point) -> ObjectMask:
        """Return the object of four extreme points."""
        return self.add(Prompt(extreme=points))

    def polygon(self, *points: Point) -> ObjectMask:
        """Return the object inside an outline."""
        return self.add(Prompt(polygon=points))

    def stroke(self, *points: Point, positive: bool = True) -> ObjectMask:
        """Return the object after a line is drawn on it, or beside it."""
        return self.add(Prompt(strokes=[points]) if positive else Prompt(background_strokes=[points]))

    def undo(self) -> ObjectMask | None:
        """Take the last step back; return the object of the one before, with which it goes on, or None without one."""
        left = self._send(mask_protocol.undo(self.started.id))
        self._which = None
        return left

    def reset(self) -> None:
        """Take all steps back; the image stays."""
        self._send(mask_protocol.reset(self.started.id))
        self._which = None

    def next_object(self) -> None:
        """Let what is added next begin another object; nothing is sent yet."""
        self._which = "new"

    def return_to(self, value: int) -> None:
        """Let what is added next be for the object of this number; nothing is sent yet."""
        self._which = value

    def report(self, *, include: Sequence[Extra] = ()) -> MaskReport:
        """Return all objects, and the pictures or the COCO file to `include`."""
        return self._send(mask_protocol.report(self.started.id, include))

    def state(self) -> SessionState:
        """Return how the session stands."""
        return self._send(mask_protocol.state(self.started.id))


class AsyncSession:
    """`Session` for asyncio: the same calls, arguments, answers and errors, awaited where they send something."""

    def __init__(self, send: AsyncSend, started: SessionState) -> None:
        """Go on with a session that the gateway has begun."""
        self.started = started
        self._send = send
        self._which: Which = None

    async def add(self, prompt: Prompt) -> ObjectMask:
        """Return the object with this added to its prompt; several parts at once cost one answer."""
        found = await self._send(mask_protocol.add(self.started.id, prompt, self._which))
        self._which = None
        return found

    async def box(self, x0: float, y0: float, x1: float, y1: float, *, tight: bool = False) -> ObjectMask:
        """Return the object in the box of two opposite corners; `tight`: the box touches it."""
        return await self.add(Prompt(box=(x0, y0, x1, y1), tight=tight))

    async def click(self, x: float, y: float, *, positive: bool = True) -> ObjectMask:
        """Return the object after a click on it, or beside it."""
        return await self.add(Prompt(positive=[(x, y)]) if positive else Prompt(negative=[(x, y)]))

    async def extreme(self, *points: Point) -> ObjectMask:
        """Return the object of four extreme points."""
        return await self.add(Prompt(extreme=points))

    async def polygon(self, *points: Point) -> ObjectMask:
        """Return the object inside an outline."""
        return await self.add(Prompt(polygon=points))

    async def stroke(self, *points: Point, positive: bool = True) -> ObjectMask:
        """Return the object after a line is drawn on it, or beside it."""
        return await self.add(Prompt(strokes=[points]) if positive else Prompt(background_strokes=[points]))

    async def undo(self) -> ObjectMask | None:
        """Take the last step back; return the object of the one before, with which it goes on, or None without one."""
        left = await self._send(mask_protocol.undo(self.started.id))
        self._which = None
        return left

    async def reset(self) -> None:
        """Take all steps back; the image stays."""
        await self._send(mask_protocol.reset(self.started.id))
        self._which = None

    def next_object(self) -> None:
        """Let what is added next begin another object; nothing is sent yet."""
        self._which = "new"

    def return_to(self, value: int) -> None:
        """Let what is added next be for the object of this number; nothing is sent yet."""
        self._which = value

    async def report(self, *, include: Sequence[Extra] = ()) -> MaskReport:
        """Return all objects, and the pictures or the COCO file to `include`."""
        return await self._send(mask_protocol.report(self.started.id, include))

    async def state(self) -> SessionState:
        """Return how the session stands."""
        return await self._send(mask_protocol.state(self.started.id))
