"""Sessions and features in Redis, so that any replica can answer, with a shelf in this process in front."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import ResponseError

from gateway.errors import SessionsFull, SessionsUnavailable
from gateway.observability.metrics import Telemetry
from gateway.sessions.features import FeatureKey, Features, Shelf, size_of
from gateway.sessions.redis_link import PREFIX, RedisLink
from gateway.sessions.store import Pixels, Session, changed, check_fits, full, is_id, not_found

_LENGTH = 4
# Where an array begins, counted from the blob's own beginning: what vector units like.
_ALIGNMENT = 64
_DTYPES = frozenset({"uint8", "int16", "float16", "float32"})

Near = Shelf[str, Any]
"""Images and features of this process's latest sessions, by their Redis key. They never change, so they are never
stale; whether a session still lives, and whose it is, its record in Redis says each time."""

_log = logging.getLogger(__name__)

_SESSION = TypeAdapter(Session)

# Redis' own limit on one value.
_LARGEST = 512 * 1024 * 1024

_REPLACE = """
local revision = redis.call('HGET', KEYS[1], 'revision')
if not revision then return -1 end
if revision ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'record', ARGV[3])
return 1
"""


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytearray:
    """Return `arrays` as one blob: the head's length (4 bytes, little-endian), the head, and each array, aligned."""
    entries = [{"name": name, "dtype": a.dtype.name, "shape": a.shape} for name, a in arrays.items()]
    head = json.dumps(entries).encode()
    blob = bytearray(len(head).to_bytes(_LENGTH, "little") + head)
    for array in arrays.values():
        blob.extend(bytes(-len(blob) % _ALIGNMENT))
        # The one copy: Redis takes a value in one piece.
        blob.extend(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return blob


def unpack(blob: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a blob, read-only views of it.

    Raises:
        ValueError: it is not what `pack` makes.
    """
    start = _LENGTH + int.from_bytes(blob[:_LENGTH], "little")
    arrays: dict[str, NDArray[Any]] = {}
    try:
        entries = json.loads(blob[_LENGTH:start])
        if not isinstance(entries, list):
            raise ValueError("the head is no list")
        for entry in entries:
            if entry["dtype"] not in _DTYPES:
                raise ValueError("an array of no known type")
            start += -start % _ALIGNMENT
            shape = tuple(entry["shape"])
            array = np.frombuffer(blob, entry["dtype"], prod(shape), start).reshape(shape)
            arrays[entry["name"]] = array
            start += array.nbytes
    except (KeyError, TypeError) as error:
        raise ValueError("the head is not one") from error
    return arrays


class RedisSessions:
    """Sessions in Redis; see `SessionStore`.

    A session is two keys: its record, a hash of `revision` and `record` (JSON), and its image, raw RGB. Both live
    equally long.
    """

    def __init__(self, link: RedisLink, near: Near) -> None:
        """Connect to nothing yet."""
        self._link = link
        self._near = near
        self._replace = link.client.register_script(_REPLACE)

    async def create(self, session: Session, pixels: Pixels) -> None:
        """See `SessionStore.create`."""
        check_fits(pixels.nbytes, min(self._link.budget, self._link.share, _LARGEST))
        await self._link.call(self._store, session, pixels)
        self._near.put(_image(session.id), pixels, pixels.nbytes)

    async def get(self, tenant: str, name: str) -> Session:
        """See `SessionStore.get`."""
        session = await self._link.call(self._load, tenant, name) if is_id(name) else None
        if session is None:
            raise not_found()
        return session

    async def pixels(self, session: Session) -> Pixels:
        """See `SessionStore.pixels`."""
        name = _image(session.id)
        pixels: Pixels | None = self._near.get(name)
        if pixels is None:
            raw: Any = await self._link.call(self._link.client.get, name)
            if raw is None:
                raise not_found()
            if len(raw) != session.height * session.width * 3:  # damaged: the session is lost
                raise not_found()
            pixels = np.frombuffer(raw, np.uint8).reshape(session.height, session.width, 3)
            self._near.put(name, pixels, pixels.nbytes)
        return pixels

    async def check(self, session: Session) -> None:
        """See `SessionStore.check`."""
        revision: Any = await self._link.call(self._link.client.hget, _record(session.id), "revision")
        if revision is None:
            raise not_found()
        if revision != str(session.revision).encode():
            raise changed()

    async def replace(self, old: Session, new: Session) -> None:
        """See `SessionStore.replace`."""
        outcome: Any = await self._link.call(self._exchange, old, new)
        if outcome < 0:
            raise not_found()
        if not outcome:
            raise changed()

    async def delete(self, session: Session) -> None:
        """See `SessionStore.delete`."""
        self._near.pop(_image(session.id))
        await self._link.call(self._end, session.id)

    async def close(self) -> None:
        """See `SessionStore.close`."""
        self._link.close()

    def _store(self, session: Session, pixels: Pixels) -> None:
        link, image, record = self._link, _image(session.id), _record(session.id)
        seconds = link.reserve("images", image, pixels.nbytes, _digest(session.tenant))
        if seconds is not None:
            raise full(seconds)
        try:
            with link.client.pipeline(transaction=True) as transaction:
                transaction.set(image, np.ascontiguousarray(pixels).reshape(-1).data, px=link.ttl)
                transaction.hset(record, mapping={"revision": session.revision, "record": _to_json(session)})
                transaction.pexpire(record, link.ttl)
                transaction.execute()
        except Exception:
            link.forget("images", image)
            raise

    def _load(self, tenant: str, name: str) -> Session | None:
        try:
            record: Any = self._link.client.hget(_record(name), "record")
        except ResponseError:  # it is no hash: somebody else wrote there
            return None
        session = None if record is None else _from_json(record)
        if session is None or session.tenant != tenant:
            return None
        if not self._link.touch("images", _image(name), _record(name)):  # evicted by a Redis that evicts what it likes
            self._end(name)
            return None
        return session

    def _exchange(self, old: Session, new: Session) -> Any:
        return self._replace(keys=[_record(old.id)], args=[old.revision, new.revision, _to_json(new)])

    def _end(self, name: str) -> None:
        self._link.client.unlink(_record(name))
        self._link.forget("images", _image(name))


class RedisFeatures:
    """Features in Redis; see `FeatureStore`. Where Redis fails, they are lost, which is no error."""

    def __init__(self, link: RedisLink, near: Near, telemetry: Telemetry) -> None:
        """Connect to nothing yet."""
        self._link = link
        self._near = near
        self._telemetry = telemetry

    async def get(self, key: FeatureKey) -> Features | None:
        """See `FeatureStore.get`."""
        name = _features(key)
        features: Features | None = self._near.get(name)
        if features is None:
            features = await self._fetch(name)
        if features is None:
            self._telemetry.session_misses.inc()
        else:
            self._telemetry.session_hits.inc()
        return features

    async def put(self, key: FeatureKey, features: Features) -> None:
        """See `FeatureStore.put`."""
        name = _features(key)
        self._near.put(name, features, size_of(features))
        try:
            await self._link.call(self._store, name, features)
        except (SessionsFull, SessionsUnavailable):
            _log.warning("features were not kept in Redis")

    async def _fetch(self, name: str) -> Features | None:
        try:
            features = await self._link.call(self._load, name)
        except (SessionsFull, SessionsUnavailable, ValueError):
            return None
        if features is not None:
            self._near.put(name, features, size_of(features))
        return features

    def _load(self, name: str) -> Features | None:
        blob: Any = self._link.client.get(name)
        if blob is None:
            return None
        self._link.touch("features", name)
        return unpack(blob)

    def _store(self, name: str, features: Features) -> None:
        blob = pack(features)
        if len(blob) <= _LARGEST and self._link.reserve("features", name, len(blob)) is None:
            self._link.client.set(name, memoryview(blob), px=self._link.ttl)


def _record(session: str) -> str:
    return f"{PREFIX}session:{session}"


def _image(session: str) -> str:
    return f"{PREFIX}image:{session}"


def _features(key: FeatureKey) -> str:
    # A digest: tenants' names and clicks need not be readable in a list of keys.
    return f"{PREFIX}features:{_digest(json.dumps(asdict(key)))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _to_json(session: Session) -> str:
    return json.dumps(asdict(session))


def _from_json(record: bytes) -> Session | None:
    """Return the session of a record; None where it is damaged: the session is lost."""
    try:
        session = _SESSION.validate_json(record)
    except ValidationError:
        return None
    # Each object began with an event of its own.
    numbered = all(1 <= event.object <= len(session.events) for event in session.events)
    return session if numbered else None
