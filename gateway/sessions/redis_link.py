"""Redis, asked from threads, and what is held in it counted.

A client on the event loop would copy megabytes there. Every key has a time to live and one prefix in braces, so that a
Redis Cluster keeps them together.

Redis counts, in scripts that run as one, what this module put into it. No policy of `maxmemory` gives what these give:
`noeviction` refuses an image where features could have made room, and every other one evicts images of living sessions
as well, in an order of its own. Nor does any of them say when room will be, which the Retry-After of a refusal is
computed from; and `maxmemory` bounds a whole Redis, which others may use. redis-py has no bounded store, and one in
Python would need the same scripts, or locks, to be right when several replicas ask at once.

A Redis that hangs is asked by one call at a time, as a probe, until it answers: all others are refused at once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from gateway.errors import SessionsFull, SessionsUnavailable
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.sessions.store import share_taken

T = TypeVar("T")
Kind = Literal["images", "features"]

PREFIX = "{maskgate:1}:"
"""Of every key; the number changes with the format."""

_log = logging.getLogger(__name__)
# How long a Redis that hangs is left alone after each probe.
_PAUSE_SECONDS = 2.0
# One key per kind, whose members are names of blobs, scored by when they end; for features, which all live equally long
# after their last use, the lowest is also the longest unused.
_BOOKS = tuple(f"{PREFIX}{book}" for book in ("images", "features", "sizes", "bytes", "owners"))
_COMMON = """
local ends, sizes, bytes, owners = {images = KEYS[1], features = KEYS[2]}, KEYS[3], KEYS[4], KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function drop(kind, name)
  local size, owner = redis.call('HGET', sizes, name) or 0, redis.call('HGET', owners, name)
  redis.call('HINCRBY', bytes, kind, 0 - size)
  if owner and redis.call('HINCRBY', bytes, 'of:' .. owner, 0 - size) <= 0 then
    redis.call('HDEL', bytes, 'of:' .. owner)
  end
  redis.call('HDEL', owners, name)
  redis.call('HDEL', sizes, name)
  redis.call('ZREM', ends[kind], name)
  redis.call('UNLINK', name)
end
local function held(kind) return tonumber(redis.call('HGET', bytes, kind) or 0) end
local function live(kind, name, ttl)
  redis.call('PEXPIRE', name, ttl)
  redis.call('ZADD', ends[kind], now + ttl, name)
  for _, book in ipairs(KEYS) do redis.call('PEXPIRE', book, ttl + 60000) end
end
"""
_RESERVE = """
local kind, name, size, ttl, budget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local owner, share = ARGV[6], tonumber(ARGV[7])
for kind, book in pairs(ends) do
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', book, '-inf', now)) do drop(kind, gone) end
end
if redis.call('HEXISTS', sizes, name) == 1 then drop(kind, name) end
if held('images') + size > budget then
  local first = redis.call('ZRANGE', ends.images, 0, 0, 'WITHSCORES')
  return {-1, (first[2] or now) - now}
end
if owner ~= '' and held('of:' .. owner) + size > share then return {-2, 0} end
local evicted = 0
while held('images') + held('features') + size > budget do
  local oldest = redis.call('ZRANGE', ends.features, 0, 0)[1]
  if not oldest then redis.call('HSET', bytes, 'features', 0) break end
  drop('features', oldest)
  evicted = evicted + 1
end
redis.call('HSET', sizes, name, size)
redis.call('HINCRBY', bytes, kind, size)
if owner ~= '' then
  redis.call('HSET', owners, name, owner)
  redis.call('HINCRBY', bytes, 'of:' .. owner, size)
end
live(kind, name, ttl)
return {evicted, 0}
"""
_TOUCH = """
local kind, name, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('EXISTS', name) == 0 then drop(kind, name) return 0 end
live(kind, name, ttl)
for place = 4, #ARGV do redis.call('PEXPIRE', ARGV[place], ttl) end
return 1
"""
_SHARE_TAKEN = -2
_FORGET = "drop(ARGV[1], ARGV[2])"


class RedisLink:
    """Connections to one Redis, a thread each, and the books of what is held there.

    Every method but `call` and `close` blocks, and is for threads.

    Args:
        url: of the Redis, with its password where it has one.
        connections: how many.
        timeout: seconds to wait for a connection, and for the next bytes on it.
        budget: bytes of all blobs.
        idle_seconds: how long a blob lives after its last use.
        telemetry: where features that made room are counted.
        share: bytes of the images of one tenant; None: as many as of all.
    """

    def __init__(
        self,
        url: str,
        connections: int,
        timeout: float,
        budget: int,
        idle_seconds: float,
        telemetry: Telemetry,
        share: int | None = None,
    ) -> None:
        """Connect to nothing yet."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # Once more at once: a restarted server leaves dead connections in the pool. Not where it hangs.
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
        )
        self.client: Redis = Redis(connection_pool=pool)
        self.budget = budget
        self.share = budget if share is None else share
        self._timeout = timeout
        # Until when no call but a probe is made; 0: it answers.
        self._hangs_until = 0.0
        self.ttl = round(idle_seconds * 1000)
        self._telemetry = telemetry
        self._threads = Threads("redis", connections)
        self._reserve = self.client.register_script(_COMMON + _RESERVE)
        self._touch = self.client.register_script(_COMMON + _TOUCH)
        self._forget = self.client.register_script(_COMMON + _FORGET)

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, which may block, from a thread.

        Raises:
            SessionsUnavailable: Redis does not answer, or not with what was asked for, or did not just now.
            SessionsFull: Redis has no memory left.
        """
        now = time.monotonic()
        probing = self._hangs_until > 0
        if probing:
            if now < self._hangs_until:
                raise self._unavailable(self._hangs_until - now)
            self._hangs_until = now + self._timeout + _PAUSE_SECONDS

        def unless_it_hangs() -> T:
            if self._hangs_until and not probing:
                # It began to while this call waited for a thread.
                raise RedisTimeout
            return function(*arguments)

        try:
            result = await self._threads.call(unless_it_hangs)
        except OutOfMemoryError as error:
            self._hangs_until = 0.0
            raise SessionsFull("The store of sessions has no memory left.", retry_after=30) from error
        except RedisTimeout as error:
            if probing or not self._hangs_until:
                _log.warning("Redis: hangs")
                self._hangs_until = time.monotonic() + _PAUSE_SECONDS
            raise self._unavailable(_PAUSE_SECONDS) from error
        except RedisError as error:
            self._hangs_until = 0.0
            # Only its kind: the text names hosts, and may hold what was sent.
            _log.warning("Redis: %s", type(error).__name__)
            raise self._unavailable(_PAUSE_SECONDS) from error
        self._hangs_until = 0.0
        return result

    def _unavailable(self, seconds: float) -> SessionsUnavailable:
        return SessionsUnavailable("The store of sessions does not answer.", retry_after=max(1, math.ceil(seconds)))

    def reserve(self, kind: Kind, name: str, size: int, owner: str = "") -> float | None:
        """Make room for a blob that is set next; features give way, images never.

        Args:
            kind: of the blob.
            name: its key.
            size: its bytes.
            owner: whose share it counts for; none where it is empty.

        Returns:
            None once there is room; where there is none, the seconds after which the first session may end.

        Raises:
            SessionsFull: the owner has no share left.
        """
        arguments = kind, name, size, self.ttl, self.budget, owner, self.share
        evicted, milliseconds = self._run(self._reserve, *arguments)
        if evicted == _SHARE_TAKEN:
            raise share_taken()
        if evicted < 0:
            return float(milliseconds) / 1000
        self._telemetry.session_evictions.inc(evicted)
        return None

    def touch(self, kind: Kind, name: str, *beside: str) -> bool:
        """Let a blob, and the keys beside it, live on from now; return whether it is there."""
        return bool(self._run(self._touch, kind, name, self.ttl, *beside))

    def forget(self, kind: Kind, name: str) -> None:
        """Remove a blob."""
        self._run(self._forget, kind, name)

    def close(self) -> None:
        """Let running calls end, and close the connections."""
        self._threads.close()
        self.client.close()

    def _run(self, script: Callable[..., Any], *arguments: str | int) -> Any:
        return script(keys=_BOOKS, args=arguments)
