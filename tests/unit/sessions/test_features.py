"""Features are kept by everything that decides them, within a budget, and give way to images."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observability.metrics import Telemetry
from gateway.sessions.features import FeatureKey, MemoryFeatures, Shelf

KEY = FeatureKey("public", "sha256:1", "encoder", "sha256:2", (0, 0, 9, 9), ((1, 2, True),))


def features(size: int) -> dict[str, np.ndarray]:
    return {"features_1": np.zeros(size, np.uint8)}


def sample(telemetry: Telemetry, name: str) -> float:
    return telemetry.registry.get_sample_value(f"maskgate_session_cache_{name}") or 0.0


def kept(store: MemoryFeatures, keys: Sequence[FeatureKey]) -> list[bool]:
    async def ask() -> list[bool]:
        return [await store.get(key) is not None for key in keys]

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, tenant="other"),
        replace(KEY, image="sha256:9"),
        replace(KEY, model="other"),
        replace(KEY, digest="sha256:9"),
        replace(KEY, crop=(0, 0, 9, 10)),
        replace(KEY, clicks=((1, 2, False),)),
    ],
)
def test_every_part_of_the_key_counts(other: FeatureKey) -> None:
    store = MemoryFeatures(100, Telemetry())
    asyncio.run(store.put(KEY, features(10)))
    assert kept(store, [KEY, replace(KEY), other]) == [True, True, False]


def test_the_longest_unused_makes_room_and_all_is_counted() -> None:
    telemetry = Telemetry()
    store = MemoryFeatures(30, telemetry)
    keys = [replace(KEY, image=f"sha256:{n}") for n in range(4)]

    async def use() -> None:
        for key in keys[:3]:
            await store.put(key, features(10))
        await store.get(keys[0])
        await store.put(keys[3], features(10))

    asyncio.run(use())
    assert kept(store, keys) == [True, False, True, True]
    assert [sample(telemetry, name) for name in ("hits_total", "misses_total", "evictions_total", "bytes")] == [
        4,
        1,
        1,
        30,
    ]


def test_features_give_way_to_what_may_not_be_lost() -> None:
    telemetry = Telemetry()
    store = MemoryFeatures(30, telemetry)
    asyncio.run(store.put(KEY, features(20)))
    assert store.pin(10)
    assert kept(store, [KEY]) == [True]
    assert store.pin(15)
    assert kept(store, [KEY]) == [False]
    assert not store.pin(10)
    assert sample(telemetry, "bytes") == 25
    asyncio.run(store.put(KEY, features(6)))
    assert kept(store, [KEY]) == [False]
    store.unpin(15)
    asyncio.run(store.put(KEY, features(6)))
    assert kept(store, [KEY]) == [True]
    assert sample(telemetry, "bytes") == 16


def test_what_is_pinned_in_vain_costs_no_features() -> None:
    store = MemoryFeatures(30, Telemetry())
    asyncio.run(store.put(KEY, features(20)))
    assert not store.pin(31)
    assert kept(store, [KEY]) == [True]


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=40))
def test_a_shelf_never_holds_more_than_its_size(size: int, puts: list[tuple[int, int]]) -> None:
    shelf: Shelf[int, int] = Shelf(size)
    sizes: dict[int, int] = {}
    for key, amount in puts:
        shelf.put(key, amount, amount)
        sizes[key] = amount
        assert shelf.held <= size
        assert (shelf.get(key) == amount) == (amount <= size)
        assert shelf.held == sum(sizes[k] for k in sizes if shelf.get(k) is not None)
