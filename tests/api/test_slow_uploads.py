"""Bodies that do not come, or not in time, give back what was reserved for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.http.uploads import _seconds_for
from gateway.settings import LimitSettings
from tests.support.app_client import AppClient
from tests.support.pictures import encode, noise

GOOD = encode(noise(96, 96))
FILES = {"pre": GOOD, "post": GOOD}


def send_slowly(client: AppClient, pieces: int, pause: float, declared: bool) -> Any:
    """Return the answer to a good pair that comes in `pieces` with a pause before each."""
    whole = client.build("POST", "/v1/damage", files=FILES)
    body, headers = whole.read(), {"Content-Type": whole.headers["Content-Type"]}
    if declared:
        headers["Content-Length"] = str(len(body))
    size = -(-len(body) // pieces)

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            await asyncio.sleep(pause)
            yield body[start : start + size]

    return client.post("/v1/damage", content=slowly(), headers=headers)


def assert_refused(client: AppClient, answer: Any) -> None:
    assert (answer.status_code, answer.json()["code"]) == (408, "upload-too-slow")
    assert answer.json()["retryable"]
    assert answer.headers["Connection"] == "close"
    assert client.sample("maskgate_inflight_bytes") == 0
    assert client.post("/v1/damage", files=FILES).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_takes_too_long(start: Any, declared: bool) -> None:
    client = start(limits={"upload_seconds": 0.2})
    assert_refused(client, send_slowly(client, pieces=10, pause=0.1, declared=declared))


def test_a_body_that_stalls(start: Any) -> None:
    client = start(limits={"upload_stall_seconds": 0.2})
    assert_refused(client, send_slowly(client, pieces=1, pause=2, declared=True))


def test_a_body_of_unknown_length_holds_no_more_than_it_is_and_may_pause(start: Any) -> None:
    client = start(limits={"upload_stall_seconds": 0.01})
    assert send_slowly(client, pieces=2, pause=0.1, declared=False).status_code == 200


def test_a_body_on_its_pace_may_pause(start: Any) -> None:
    client = start(limits={"upload_stall_seconds": 0.2, "upload_seconds": 60})
    assert send_slowly(client, pieces=4, pause=0.1, declared=True).status_code == 200


@pytest.mark.parametrize(
    ("received", "declared", "seconds"),
    [(0, 100, 20), (25, 100, 50), (80, 100, 116), (90, 100, 120), (100, 100, 120), (0, None, 120), (7, None, 120)],
)
def test_each_byte_buys_its_share_of_the_time(received: int, declared: int | None, seconds: float) -> None:
    limits = LimitSettings(upload_seconds=120, upload_stall_seconds=20)
    assert _seconds_for(received, declared, limits) == seconds


MB = 1_000_000


@pytest.mark.parametrize(
    ("received", "declared", "seconds"),
    [
        (25 * MB, 25 * MB, 381.5),
        (0, 25 * MB, 20),
        (5 * MB, 25 * MB, 96.3),
        (25 * MB, None, 381.5),
        (512 * MB, 512 * MB, 900),
    ],
)
def test_a_large_body_has_time_by_its_size(received: int, declared: int | None, seconds: float) -> None:
    assert _seconds_for(received, declared, LimitSettings()) == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("size", "arrives"), [(25 * MB, True), (25 * MB, False), (400 * MB, False)])
def test_25_mb_at_100_kb_a_second_arrive_and_400_do_not(size: int, declared: bool, arrives: bool) -> None:
    limits, pace = LimitSettings(), 100_000 if arrives or size > 25 * MB else 50_000
    late = [
        received
        for received in range(0, size + 1, 100_000)
        if received / pace > _seconds_for(received, size if declared else None, limits)
    ]
    assert bool(late) is not arrives


def test_a_body_above_the_pace_of_its_size_is_taken(start: Any) -> None:
    limits = {"upload_seconds": 0.1, "upload_stall_seconds": 5, "upload_bytes_per_second": len(GOOD)}
    assert send_slowly(start(limits=limits), pieces=4, pause=0.1, declared=True).status_code == 200
    client = start(limits=limits | {"upload_seconds_most": 0.2})
    assert_refused(client, send_slowly(client, pieces=4, pause=0.1, declared=True))
