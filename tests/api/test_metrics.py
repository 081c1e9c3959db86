"""Every metric moves: in a few requests of every kind here, or where it is said."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from gateway.observability.metrics import Telemetry
from tests.api.conftest import Start
from tests.support.app_client import AppClient
from tests.support.films import chest
from tests.support.pictures import encode
from tests.support.sessions import BOX, PIXELS, begun, click
from tests.support.towns import town

TESTS = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "maskgate_cancelled": "api/test_caller_leaves.py",
    "maskgate_connections_cut": "e2e/test_edges.py",
    "maskgate_job_items": "api/test_jobs.py",
    "maskgate_job_items_waiting": "api/test_jobs.py",
    "maskgate_queued_work_seconds": "unit/scheduling/test_queue.py",
    "maskgate_shed": "api/test_admission.py",
    "maskgate_trace_spans": "api/test_tracing.py",
    "maskgate_triton_errors": "contract/test_triton_failures.py",
    "maskgate_triton_inflight_bytes": "contract/test_triton_telemetry.py",
    "maskgate_triton_request_duration_seconds": "e2e/test_triton.py",
    "maskgate_triton_transport_info": "e2e/test_triton.py",
}
"""Metrics that more is needed for, and the tests in which they move."""
NOTHING_HELD = {"maskgate_inflight_requests", "maskgate_inflight_bytes"}
"""Back at 0 when nothing is in flight; the tests of admission see them move."""


@pytest.fixture(scope="module")
def used(start_session: Start) -> AppClient:
    """Return a client of an app that has answered requests of every kind."""
    client = start_session(sessions={"bytes": 2 * PIXELS.nbytes + 1000})
    pre = encode(town().pre)
    files = {"pre": pre, "post": encode(np.roll(town().pre, (3, -5), axis=(0, 1)))}
    assert client.post("/v1/damage?align=require", files=files).status_code == 200
    assert client.post("/v1/damage?model=none", files=files).status_code == 404
    assert client.post("/v1/radiograph", files={"image": encode(chest())}).status_code == 200
    session = begun(client, prompt=BOX)
    assert click(client, session, {"positive": [[90, 60]]}).status_code == 200
    begun(client)
    return client


def moved(client: AppClient) -> set[str]:
    """Return the metrics that have a sample other than 0."""
    families = client.services.telemetry.registry.collect()
    return {
        family.name
        for family in families
        if any(sample.value and not sample.name.endswith("_created") for sample in family.samples)
    }


def test_every_metric_moves(used: AppClient) -> None:
    declared = {family.name for family in Telemetry().registry.collect()}
    assert declared - moved(used) <= ELSEWHERE.keys() | NOTHING_HELD


@pytest.mark.parametrize(("metric", "where"), ELSEWHERE.items())
def test_what_moves_elsewhere_does(metric: str, where: str) -> None:
    assert metric in (TESTS / where).read_text(encoding="utf-8")


def test_a_pair_shows_its_shift(used: AppClient) -> None:
    assert used.sample("maskgate_pair_shift_pixels_sum") == pytest.approx(np.hypot(3, 5), abs=0.1)


def test_threads_show_what_they_do(used: AppClient) -> None:
    for pool in ("worker", "lane"):
        assert used.sample("maskgate_pool_threads", pool=pool) >= 1
        assert used.sample("maskgate_pool_busy_seconds_total", pool=pool) > 0
        assert used.sample("maskgate_pool_wait_seconds_count", pool=pool) > 0
    runs = used.sample("maskgate_engine_run_duration_seconds_count", model="trivial", version="1")
    assert runs == used.sample("maskgate_batch_items_count", model="trivial") > 0
    busy = used.sample("maskgate_pool_busy_seconds_total", pool="lane")
    assert 0 < used.sample("maskgate_engine_run_duration_seconds_sum", model="trivial", version="1") <= busy


def test_the_process_shows_what_it_takes(used: AppClient) -> None:
    before = used.sample("maskgate_cpu_seconds_total")
    assert used.sample("maskgate_resident_memory_bytes") > 10 * 1024 * 1024
    assert used.sample("maskgate_open_files") > 3
    deadline = time.monotonic() + 20
    while used.sample("maskgate_cpu_seconds_total") <= before:
        sum(range(100_000))
        assert time.monotonic() < deadline
