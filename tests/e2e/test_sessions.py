"""Sessions as operators run them: gateways as processes, one Redis, restarts."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.pictures import decode
from tests.support.processes import gateway
from tests.support.redis_server import redis_server
from tests.support.sessions import BOX, IMAGE, SESSIONS
from tests.support.trivial_interactive import write_trivial_interactive

pytestmark = pytest.mark.e2e


def test_a_session_outlives_the_gateway_that_it_began_on(tmp_path: Path) -> None:
    root = write_trivial_interactive(tmp_path)
    with redis_server() as redis, gateway(root, SESSIONS_URL=redis.url) as second:
        with gateway(root, SESSIONS_URL=redis.url, SERVER_DRAIN_DELAY_SECONDS="0") as first:
            begun = httpx.post(f"{first.address}{SESSIONS}", files={"image": IMAGE}, timeout=60)
            session = begun.headers["Location"]
            answer = httpx.post(f"{first.address}{session}/clicks", json=BOX, timeout=60)
            assert answer.status_code == 200
            first.terminate()
            first.process.wait(30)
        mended = httpx.post(f"{second.address}{session}/clicks", json={"negative": [[60, 40]]}, timeout=60)
        assert mended.status_code == 200
        whole = {"image": IMAGE, "prompt": json.dumps(BOX | {"negative": [[60, 40]]}).encode()}
        once = httpx.post(f"{second.address}/v1/interactive", files=whole, timeout=60)
        np.testing.assert_array_equal(decode(mended.content), decode(once.content))
        state = httpx.get(f"{second.address}{session}").json()
        assert state["objects"] == [BOX | {"negative": [[60, 40]]}]
        assert session.removeprefix(f"{SESSIONS}/") not in "".join([*first.output, *second.output])
        assert redis.url not in "".join([*first.output, *second.output])
