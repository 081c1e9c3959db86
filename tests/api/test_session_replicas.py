"""Several gateways on one Redis answer one session; without it they say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.redis_server import RedisServer, redis_server
from tests.support.sessions import BOX, PIXELS, begin, begun, click, mask, once

pytestmark = pytest.mark.e2e


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_replicas_answer_one_session_by_turns(start: Any, server: RedisServer, decoded: list[None]) -> None:
    one, two = (start(sessions={"url": server.url}) for _ in range(2))
    session = begun(one)
    mask(click(two, session, BOX))
    mask(click(one, session, {"positive": [[100, 80]]}))
    last = mask(click(two, session, {"negative": [[60, 40]]}))
    merged = mask(one.get(f"{session}/mask"))
    assert len(decoded) == 1
    np.testing.assert_array_equal(merged, last)
    whole = {"box": BOX["box"], "positive": [[80, 60], [100, 80]], "negative": [[60, 40]]}
    np.testing.assert_array_equal(last, once(one, whole))
    assert one.get(session).json()["revision"] == two.get(session).json()["revision"] == 3
    assert two.sample("maskgate_tiles_total", model="click-lite0-encoder") == 1
    assert one.sample("maskgate_tiles_total", model="click-lite0-encoder") == 1, "of the one-shot request alone"
    assert two.delete(session).status_code == 204
    assert one.get(session).status_code == 404


def test_images_and_features_share_the_budget_in_redis_too(start: Any, server: RedisServer) -> None:
    client = start(sessions={"url": server.url, "bytes": 2 * PIXELS.nbytes + 1000, "local_bytes": 1})
    first = begun(client, prompt=BOX)
    begun(client)
    assert client.sample("maskgate_session_cache_evictions_total") == 1
    refused = begin(client)
    assert (refused.status_code, refused.json()["code"]) == (503, "sessions-full")
    mask(click(client, first, {"negative": [[60, 40]]}))


def test_a_dead_redis_is_said_and_stops_nothing_else(start: Any, server: RedisServer) -> None:
    client = start(sessions={"url": server.url})
    session = begun(client, prompt=BOX)
    server.kill()
    for answer in (
        client.get(session),
        client.get(f"{session}/mask"),
        click(client, session, BOX),
        client.delete(f"{session}/clicks/last"),
        client.delete(f"{session}/clicks"),
        client.delete(session),
        begin(client),
        begin(client, prompt=BOX),
    ):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "sessions-unavailable"
        assert int(answer.headers["Retry-After"]) > 0
    assert once(client, BOX).any()
    assert client.get("/readyz").status_code == 200
    assert client.sample("maskgate_inflight_bytes") == 0
