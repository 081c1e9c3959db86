"""What every store of sessions promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest

from gateway.errors import Conflict, SessionChanged, SessionNotFound, SessionsFull, TooLarge
from gateway.observability.metrics import Telemetry
from gateway.sessions.features import FeatureKey, FeatureStore, MemoryFeatures, Shelf
from gateway.sessions.redis_link import RedisLink
from gateway.sessions.redis_store import RedisFeatures, RedisSessions
from gateway.sessions.store import MemorySessions, Session, SessionStore, is_id, new_id
from tests.support.redis_server import RedisServer, redis_server

SIDE = 40
IMAGE = SIDE * SIDE * 3
PIXELS = np.arange(IMAGE).astype(np.uint8).reshape(SIDE, SIDE, 3)
KEY = FeatureKey("public", "sha256:1", "encoder", "sha256:2", (0, 0, 9, 9), ((1, 2, True),))


@dataclass(frozen=True)
class Stores:
    """The two stores of one process."""

    sessions: SessionStore
    features: FeatureStore
    telemetry: Telemetry

    def evictions(self) -> float:
        return self.telemetry.registry.get_sample_value("maskgate_session_cache_evictions_total") or 0.0


Open = Callable[..., AbstractAsyncContextManager[Stores]]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def memory(size: int = 10 * IMAGE, idle_seconds: float = 60, share: int | None = None) -> AsyncIterator[Stores]:
    telemetry = Telemetry()
    features = MemoryFeatures(size, telemetry)
    sessions = MemorySessions(idle_seconds, features, share)
    yield Stores(sessions, features, telemetry)
    await sessions.close()


def on_redis(server: RedisServer) -> Open:
    @asynccontextmanager
    async def redis(
        size: int = 10 * IMAGE, idle_seconds: float = 60, near: int = 1, share: int | None = None
    ) -> AsyncIterator[Stores]:
        telemetry = Telemetry()
        link = RedisLink(server.url, 4, 10, size, idle_seconds, telemetry, share)
        shelf: Shelf[str, object] = Shelf(near)
        sessions = RedisSessions(link, shelf)
        yield Stores(sessions, RedisFeatures(link, shelf, telemetry), telemetry)
        await sessions.close()

    return redis


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.e2e)])
def stores(request: pytest.FixtureRequest) -> Open:
    """Return how to open empty stores of either kind."""
    if request.param == "memory":
        return memory
    server: RedisServer = request.getfixturevalue("server")
    with server.client() as client:
        client.flushall()
    return on_redis(server)


@pytest.fixture
def shared(server: RedisServer) -> Open:
    """Return how to open stores on one empty Redis, as several replicas do."""
    with server.client() as client:
        client.flushall()
    return on_redis(server)


def session(tenant: str = "public") -> Session:
    return Session(
        id=new_id(),
        tenant=tenant,
        image="sha256:1",
        width=SIDE,
        height=SIDE,
        notices=("alpha channel dropped",),
        model="click-lite0",
        version=2,
        digest="sha256:3",
        threshold=0.25,
    )


def test_ids_are_long_random_and_fit_into_an_address() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(is_id(name) and len(name) * 6 >= 128 for name in ids)
    assert not any(map(is_id, ["", "a" * 31, "a" * 33, "a" * 31 + "*", "a" * 31 + "\n", "../" + "a" * 29]))


def test_events_are_added_and_taken_back() -> None:
    empty = session()
    one = empty.prompted(1, {"positive": [[1, 2]]})
    two = one.prompted(2, {"box": [0, 0, 3, 3]})
    assert (empty.objects, one.objects, two.objects) == (0, 1, 2)
    assert two.undone() == (replace(one, revision=3), 2)
    left, number = two.undone(1)
    assert ([event.object for event in left.events], number, left.objects) == ([2], 1, 2)
    with pytest.raises(Conflict):
        left.undone(1)
    assert two.emptied().events == ()
    assert [s.revision for s in (empty, one, two, two.undone()[0], two.emptied())] == [0, 1, 2, 3, 3]
    with pytest.raises(Conflict):
        empty.undone()


def test_a_session_is_kept_whole(stores: Open) -> None:
    async def run() -> None:
        async with stores() as s:
            kept = session()
            await s.sessions.create(kept, PIXELS)
            assert await s.sessions.get("public", kept.id) == kept
            np.testing.assert_array_equal(await s.sessions.pixels(kept), PIXELS)
            changed = kept.prompted(1, {"positive": [[1.5, 2]]})
            await s.sessions.replace(kept, changed)
            assert await s.sessions.get("public", kept.id) == changed

    asyncio.run(run())


def test_unknown_foreign_and_impossible_ids_are_answered_alike(stores: Open) -> None:
    async def run() -> None:
        async with stores() as s:
            foreign = session("other")
            await s.sessions.create(foreign, PIXELS)
            said = set()
            for name in (foreign.id, new_id(), "", "a\nb", "ü" * 32):
                with pytest.raises(SessionNotFound) as error:
                    await s.sessions.get("public", name)
                said.add(error.value.detail)
            assert len(said) == 1
            assert await s.sessions.get("other", foreign.id) == foreign

    asyncio.run(run())


def test_of_two_changes_at_once_one_wins(stores: Open) -> None:
    async def run() -> None:
        async with stores() as s:
            kept = session()
            await s.sessions.create(kept, PIXELS)
            rivals = [kept.prompted(1, {"positive": [[n, n]]}) for n in range(8)]
            outcomes = await asyncio.gather(*(s.sessions.replace(kept, r) for r in rivals), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes if outcome] == [SessionChanged] * 7
            assert await s.sessions.get("public", kept.id) == rivals[outcomes.index(None)]

    asyncio.run(run())


def test_a_session_that_ended_is_gone(stores: Open) -> None:
    async def run() -> None:
        async with stores() as s:
            kept = session()
            await s.sessions.create(kept, PIXELS)
            await s.sessions.delete(kept)
            await s.sessions.delete(kept)
            with pytest.raises(SessionNotFound):
                await s.sessions.get("public", kept.id)
            with pytest.raises(SessionNotFound):
                await s.sessions.pixels(kept)
            with pytest.raises(SessionNotFound):
                await s.sessions.replace(kept, kept.emptied())

    asyncio.run(run())


def test_an_idle_session_expires_and_gives_its_room_back(stores: Open) -> None:
    async def run() -> None:
        async with stores(size=IMAGE, idle_seconds=0.2) as s:
            idle = session()
            await s.sessions.create(idle, PIXELS)
            await asyncio.sleep(0.3)
            with pytest.raises(SessionNotFound):
                await s.sessions.get("public", idle.id)
            await s.sessions.create(session(), PIXELS)

    asyncio.run(run())


def test_a_session_in_use_lives_on(stores: Open) -> None:
    async def run() -> None:
        async with stores(idle_seconds=2) as s:
            used = session()
            await s.sessions.create(used, PIXELS)
            for _ in range(5):
                await asyncio.sleep(0.6)
                await s.sessions.get("public", used.id)

    asyncio.run(run())


def test_images_of_living_sessions_are_never_given_up(stores: Open) -> None:
    async def run() -> None:
        async with stores(size=2 * IMAGE + 50) as s:
            living = [session(), session()]
            for one in living:
                await s.sessions.create(one, PIXELS)
            with pytest.raises(SessionsFull) as refused:
                await s.sessions.create(session(), PIXELS)
            assert refused.value.retry_after == 60
            for one in living:
                np.testing.assert_array_equal(await s.sessions.pixels(one), PIXELS)
            await s.sessions.delete(living[0])
            await s.sessions.create(session(), PIXELS)

    asyncio.run(run())


def test_an_image_larger_than_everything_is_too_large(stores: Open) -> None:
    async def run() -> None:
        async with stores(size=IMAGE - 1) as s:
            with pytest.raises(TooLarge) as refused:
                await s.sessions.create(session(), PIXELS)
            assert refused.value.limit == IMAGE - 1

    asyncio.run(run())


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8", "int16"])
def test_features_come_back_as_they_were(stores: Open, dtype: str) -> None:
    async def run() -> None:
        async with stores(size=100_000) as s:
            kept = {"features_1": np.arange(60).reshape(3, 4, 5).astype(dtype), "features_2": np.ones((1, 7), dtype)}
            assert await s.features.get(KEY) is None
            await s.features.put(KEY, kept)
            found = await s.features.get(KEY)
            assert found is not None
            assert list(found) == list(kept)
            for name, array in kept.items():
                assert found[name].dtype == array.dtype
                np.testing.assert_array_equal(found[name], array)
            assert await s.features.get(replace(KEY, tenant="other")) is None

    asyncio.run(run())


def test_features_give_way_to_features_and_to_images(stores: Open) -> None:
    async def run() -> None:
        async with stores(size=3 * IMAGE) as s:
            keys = [replace(KEY, image=f"sha256:{n}") for n in range(3)]
            block = {"features_1": np.zeros(IMAGE + 400, np.uint8)}

            async def kept() -> list[bool]:
                return [await s.features.get(key) is not None for key in keys]

            await s.features.put(keys[0], block)
            await asyncio.sleep(0.01)  # the order of use is kept in milliseconds
            await s.features.put(keys[1], block)
            assert await kept() == [True, True, False]
            await asyncio.sleep(0.01)
            await s.features.get(keys[0])
            await s.features.put(keys[2], block)
            assert await kept() == [True, False, True]
            assert s.evictions() == 1
            await s.sessions.create(session(), PIXELS)
            assert sum(await kept()) == 1
            await s.sessions.create(session(), PIXELS)
            await s.sessions.create(session(), PIXELS)
            assert sum(await kept()) == 0
            await s.features.put(keys[0], block)
            assert sum(await kept()) == 0
            assert s.evictions() == 3

    asyncio.run(run())


@pytest.mark.e2e
def test_replicas_answer_for_each_other(shared: Open) -> None:
    async def run() -> None:
        async with shared(near=100_000) as one, shared(near=100_000) as two:
            kept = session()
            await one.sessions.create(kept, PIXELS)
            first = kept.prompted(1, {"positive": [[1, 1]]})
            await two.sessions.replace(await two.sessions.get("public", kept.id), first)
            assert await one.sessions.get("public", kept.id) == first
            with pytest.raises(SessionChanged):
                await one.sessions.replace(kept, kept.emptied())
            np.testing.assert_array_equal(await two.sessions.pixels(kept), PIXELS)
            await one.features.put(KEY, {"features_1": PIXELS})
            found = await two.features.get(KEY)
            assert found is not None
            np.testing.assert_array_equal(found["features_1"], PIXELS)
            await two.sessions.delete(kept)
            with pytest.raises(SessionNotFound):
                await one.sessions.get("public", kept.id)

    asyncio.run(run())


@pytest.mark.e2e
def test_what_is_near_is_not_fetched_again(shared: Open, server: RedisServer) -> None:
    async def run() -> None:
        async with shared(near=100_000) as s:
            kept = session()
            await s.sessions.create(kept, PIXELS)
            await s.features.put(KEY, {"features_1": PIXELS})
            with server.client() as client:
                before = client.info("commandstats")
                await s.sessions.pixels(kept)
                assert await s.features.get(KEY) is not None
                after = client.info("commandstats")
            assert "cmdstat_get" not in before
            assert "cmdstat_get" not in after

    with server.client() as client:
        client.config_resetstat()
    asyncio.run(run())


@pytest.mark.e2e
def test_every_key_ends_by_itself(shared: Open, server: RedisServer) -> None:
    async def run() -> None:
        async with shared(idle_seconds=5) as s:
            kept = session()
            await s.sessions.create(kept, PIXELS)
            await s.sessions.replace(kept, kept.emptied())
            await s.features.put(KEY, {"features_1": PIXELS})
            with server.client() as client:
                keys = client.keys()
                assert len(keys) == 8
                assert all(key.startswith(b"{maskgate:1}:") and 0 < client.ttl(key) <= 65 for key in keys)

    asyncio.run(run())


@pytest.mark.e2e
def test_a_redis_that_lost_an_image_lost_the_session(shared: Open, server: RedisServer) -> None:
    async def run() -> None:
        async with shared(size=IMAGE) as s:
            kept = session()
            await s.sessions.create(kept, PIXELS)
            with server.client() as client:
                client.delete(f"{{maskgate:1}}:image:{kept.id}")
            with pytest.raises(SessionNotFound):
                await s.sessions.get("public", kept.id)
            await s.sessions.create(session(), PIXELS)

    asyncio.run(run())


@pytest.mark.e2e
def test_features_that_are_none_are_made_again(shared: Open, server: RedisServer) -> None:
    async def run() -> None:
        async with shared() as s:
            await s.features.put(KEY, {"features_1": PIXELS})
            with server.client() as client:
                (name,) = [key for key in client.scan_iter() if b":features:" in key]
                for blob in (b"", b"\xff" * 40, b"\x02\0\0\0{}", b'\x15\0\0\0[{"dtype":"object"}]'):
                    client.set(name, blob)
                    assert await s.features.get(KEY) is None

    asyncio.run(run())


def test_no_tenant_takes_more_than_its_share(stores: Open) -> None:
    async def run() -> None:
        async with stores(size=4 * IMAGE, share=2 * IMAGE) as kept:
            store, first = kept.sessions, session("alice")
            await store.create(first, PIXELS)
            await store.create(session("alice"), PIXELS)
            with pytest.raises(SessionsFull) as error:
                await store.create(session("alice"), PIXELS)
            assert error.value.retry_after
            await store.create(session("bob"), PIXELS)
            await store.delete(first)
            await store.create(session("alice"), PIXELS)
            await store.create(session("bob"), PIXELS)
            with pytest.raises(SessionsFull):
                await store.create(session("carol"), PIXELS)

    asyncio.run(run())


def test_a_share_is_given_back_when_sessions_end_by_themselves(stores: Open) -> None:
    async def run() -> None:
        async with stores(idle_seconds=0.2, share=IMAGE) as kept:
            for _ in range(2):
                await kept.sessions.create(session("alice"), PIXELS)
                await asyncio.sleep(0.5)

    asyncio.run(run())


def test_a_change_shows_before_anything_is_done_in_vain(stores: Open) -> None:
    async def run() -> None:
        async with stores() as kept:
            store, old = kept.sessions, session()
            with pytest.raises(SessionNotFound):
                await store.check(old)
            await store.create(old, PIXELS)
            await store.check(old)
            await store.replace(old, old.emptied())
            with pytest.raises(SessionChanged):
                await store.check(old)

    asyncio.run(run())
