"""Sessions: one image, sent once, and the clicks on it so far."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.errors import Conflict, SessionChanged, SessionNotFound, SessionsFull, TooLarge
from gateway.sessions.features import MemoryFeatures

Pixels = NDArray[np.uint8]
"""uint8, (height, width, 3), RGB, upright."""

_ID = re.compile(r"[A-Za-z0-9_-]{32}")


@dataclass(frozen=True)
class Event:
    """What was added to the prompt of one object, in the keys of a prompt's JSON. Objects are numbered from 1."""

    object: int
    prompt: Mapping[str, Any]


@dataclass(frozen=True)
class Session:
    """A session as it stood at one revision.

    Attributes:
        id: 192 random bits, URL-safe.
        tenant: whose it is.
        image: digest of the upload, ``sha256:…``.
        width: of the image, in pixels.
        height: of the image, in pixels.
        notices: what was changed in decoding the image.
        model: what answers, and goes on answering, whatever becomes the default meanwhile.
        version: of the model; None where it has none.
        digest: of the model's file; None where it has none.
        threshold: what the caller asked for; None for the model's own.
        events: the prompt, object by object, in the order it came; undo drops the last, or the last of an object.
        revision: how often the events changed.
    """

    id: str
    tenant: str
    image: str
    width: int
    height: int
    notices: tuple[str, ...]
    model: str
    version: int | None
    digest: str | None
    threshold: float | None
    events: tuple[Event, ...] = ()
    revision: int = 0

    @property
    def objects(self) -> int:
        """How many objects have a prompt."""
        return max((event.object for event in self.events), default=0)

    def prompted(self, number: int, prompt: Mapping[str, Any]) -> Session:
        """Return the session with `prompt` added to the object `number`, or to a new one that follows the last."""
        return self._changed((*self.events, Event(number, prompt)))

    def undone(self, number: int | None = None) -> tuple[Session, int]:
        """Return the session without its last event, or the last of an object, and the number of that object.

        Raises:
            Conflict: there is none.
        """
        places = [place for place, event in enumerate(self.events) if number in (None, event.object)]
        if not places:
            whose = "session" if number is None else f"object {number}"
            raise Conflict(f"The {whose} has no click to take back.")
        last = places[-1]
        return self._changed((*self.events[:last], *self.events[last + 1 :])), self.events[last].object

    def emptied(self) -> Session:
        """Return the session without events."""
        return self._changed(())

    def _changed(self, events: tuple[Event, ...]) -> Session:
        return replace(self, events=events, revision=self.revision + 1)


class SessionStore(Protocol):
    """Keeps sessions and their images until they were not used for a while. One contract suite holds all stores."""

    async def create(self, session: Session, pixels: Pixels) -> None:
        """Keep a new session and its image, which nobody changes from now on.

        Raises:
            TooLarge: the image is larger than all that may be kept.
            SessionsFull: it does not fit beside the images of living sessions, or into its tenant's share.
        """

    async def get(self, tenant: str, name: str) -> Session:
        """Return the session of the id `name`, which lives on from now.

        Raises:
            SessionNotFound: `tenant` has none of that id. That another has one shows in nothing.
        """

    async def pixels(self, session: Session) -> Pixels:
        """Return a session's image, read-only.

        Raises:
            SessionNotFound: the session ended meanwhile.
        """

    async def check(self, session: Session) -> None:
        """Return where the session is yet as `session` says.

        Raises:
            SessionChanged: it is not.
            SessionNotFound: the session ended meanwhile.
        """

    async def replace(self, old: Session, new: Session) -> None:
        """Keep `new` in the place of `old`.

        Raises:
            SessionChanged: the session is no more as `old` says; it stays as it is.
            SessionNotFound: the session ended meanwhile.
        """

    async def delete(self, session: Session) -> None:
        """End a session; one that ended already is no error."""

    async def close(self) -> None:
        """Release connections and timers."""


class MemorySessions:
    """Sessions in this process. Lives on one event loop.

    Args:
        idle_seconds: how long a session lives after its last use.
        features: the store whose bytes the images share.
        share: bytes of the images of one tenant; None: as many as of all.
    """

    def __init__(self, idle_seconds: float, features: MemoryFeatures, share: int | None = None) -> None:
        """Hold nothing yet."""
        self._share = features.size if share is None else share
        self._held: Counter[str] = Counter()
        self._idle = idle_seconds
        self._features = features
        # In the order of their last use, so in the order of their end.
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    async def create(self, session: Session, pixels: Pixels) -> None:
        """See `SessionStore.create`."""
        self._sweep()
        check_fits(pixels.nbytes, min(self._features.size, self._share))
        if self._held[session.tenant] + pixels.nbytes > self._share:
            raise share_taken()
        if not self._features.pin(pixels.nbytes):
            raise full(next(iter(self._kept.values())).ends - time.monotonic())
        self._held[session.tenant] += pixels.nbytes
        self._kept[session.id] = _Kept(session, pixels, time.monotonic() + self._idle)
        if self._timer is None:
            self._wake()

    async def get(self, tenant: str, name: str) -> Session:
        """See `SessionStore.get`."""
        kept = self._living(name)
        if kept.session.tenant != tenant:
            raise not_found()
        self._kept[name] = replace(kept, ends=time.monotonic() + self._idle)
        self._kept.move_to_end(name)
        return kept.session

    async def pixels(self, session: Session) -> Pixels:
        """See `SessionStore.pixels`."""
        return self._living(session.id).pixels

    async def check(self, session: Session) -> None:
        """See `SessionStore.check`."""
        if self._living(session.id).session.revision != session.revision:
            raise changed()

    async def replace(self, old: Session, new: Session) -> None:
        """See `SessionStore.replace`."""
        await self.check(old)
        self._kept[old.id] = replace(self._kept[old.id], session=new)

    async def delete(self, session: Session) -> None:
        """See `SessionStore.delete`."""
        if session.id in self._kept:
            self._drop(session.id)

    async def close(self) -> None:
        """See `SessionStore.close`."""
        if self._timer is not None:
            self._timer.cancel()

    def _living(self, name: str) -> _Kept:
        self._sweep()
        if name not in self._kept:
            raise not_found()
        return self._kept[name]

    def _drop(self, name: str) -> None:
        gone = self._kept.pop(name)
        self._features.unpin(gone.pixels.nbytes)
        self._held[gone.session.tenant] -= gone.pixels.nbytes
        if not self._held[gone.session.tenant]:
            del self._held[gone.session.tenant]

    def _sweep(self) -> None:
        now = time.monotonic()
        while self._kept and next(iter(self._kept.values())).ends <= now:
            self._drop(next(iter(self._kept)))

    def _wake(self) -> None:
        """Let go of pixels when their time is over, also where nobody calls."""
        self._sweep()
        self._timer = None
        if self._kept:
            delay = max(0.0, next(iter(self._kept.values())).ends - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)


@dataclass(frozen=True)
class _Kept:
    session: Session
    pixels: Pixels
    ends: float


def new_id() -> str:
    """Return an id that nobody guesses."""
    return secrets.token_urlsafe(24)


def is_id(name: str) -> bool:
    """Return whether `name` could be an id."""
    return _ID.fullmatch(name) is not None


def check_fits(amount: int, size: int) -> None:
    """Refuse an image that would not fit alone.

    Raises:
        TooLarge: it has more bytes than may be kept in all.
    """
    if amount > size:
        raise TooLarge(f"An image of a session may have {size:,} bytes when decoded.", limit=size, pointer="/image")


def full(seconds: float) -> SessionsFull:
    """Return the error of a store whose next session ends in so many seconds."""
    return SessionsFull(
        "The images of living sessions leave no room for another; end sessions that are done with.",
        retry_after=max(1, min(60, round(seconds))),
    )


def share_taken() -> SessionsFull:
    """Return the error of a tenant whose sessions have all that one tenant's may."""
    return SessionsFull(
        "The images of your living sessions have all the room that is yours; end sessions that are done with.",
        retry_after=60,
    )


def not_found() -> SessionNotFound:
    """Return the one error for sessions that are unknown, foreign or expired."""
    return SessionNotFound("There is no such session, or it was not used for too long; start one by POST.")


def changed() -> SessionChanged:
    """Return the error of the slower of two requests."""
    return SessionChanged("Another request changed the session meanwhile; nothing of this one was kept. Send it again.")
