"""The metrics of one process, and of several as one."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.metrics import Telemetry
from gateway.observability.place import Place, SharedMemory
from gateway.observability.shared_metrics import Region, vacate

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def memory() -> SharedMemory:
    return SharedMemory.create(2)


@pytest.fixture
def begin(memory: SharedMemory, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Telemetry]:
    """Begin to count as the process of a number; one at a time, since prometheus_client counts as one only."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    return lambda number: Telemetry(Place(number, memory))


def shown(telemetry: Telemetry) -> Samples:
    families = text_string_to_metric_families(telemetry.exposition().decode())
    samples = [sample for family in families for sample in family.samples]
    assert len({(s.name, tuple(sorted(s.labels.items()))) for s in samples}) == len(samples)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}


def of(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return shown(telemetry).get((f"maskgate_{name}", tuple(sorted(labels.items()))))


def test_counters_histograms_and_gauges_are_those_of_all(begin: Callable[[int], Telemetry]) -> None:
    for number in (0, 1):
        telemetry = begin(number)
        telemetry.images_decoded.inc(3)
        telemetry.tiles.labels("m").inc(number + 1)
        telemetry.loop_lag.observe(0.3)
        telemetry.inflight_bytes.set(10)
        telemetry.model_ready.labels("m").set(1)
        telemetry.model_ready.labels("half").set(number)
    assert of(telemetry, "images_decoded_total") == 6
    assert of(telemetry, "tiles_total", model="m") == 3
    assert of(telemetry, "event_loop_lag_seconds_count") == 2
    assert of(telemetry, "event_loop_lag_seconds_bucket", le="0.25") == 0
    assert of(telemetry, "event_loop_lag_seconds_bucket", le="0.5") == 2
    assert of(telemetry, "inflight_bytes") == 20
    assert of(telemetry, "model_ready", model="m") == 1
    assert of(telemetry, "model_ready", model="half") == 0, "ready in every process, or not ready"
    assert of(telemetry, "processes") == 2
    assert not [labels for name, labels in shown(telemetry) if any(key == "pid" for key, _ in labels)]


def test_of_a_dead_process_the_counters_stay_and_its_successor_counts_on(
    begin: Callable[[int], Telemetry], memory: SharedMemory
) -> None:
    for number in (0, 1):
        telemetry = begin(number)
        telemetry.images_decoded.inc(3)
        telemetry.inflight_requests.inc()
    vacate(Place(0, memory))
    assert (of(telemetry, "images_decoded_total"), of(telemetry, "inflight_requests")) == (6, 1)
    assert of(telemetry, "processes") == 1
    series = list(Region(memory.region(0)).series())
    successor = begin(0)
    successor.images_decoded.inc()
    assert (of(successor, "images_decoded_total"), of(successor, "inflight_requests")) == (7, 1)
    assert (of(successor, "processes"), of(successor, "process_starts_total")) == (2, 3)
    assert list(Region(memory.region(0)).series()) == series, "whoever takes a place takes its series too"


def test_a_series_that_was_only_half_written_is_not_there(
    begin: Callable[[int], Telemetry], memory: SharedMemory
) -> None:
    telemetry = begin(0)
    before = shown(telemetry)
    used = int.from_bytes(memory.region(0)[:8], sys.byteorder)
    memory.region(0)[used : used + 16] = b'\x28\0\0\0\0\0\0\0["counte'
    assert shown(telemetry) == before
    begin(0).tiles.labels("m").inc()
    assert of(telemetry, "tiles_total", model="m") == 1


def test_where_there_is_no_more_room_what_was_counted_before_goes_on(
    memory: SharedMemory, caplog: pytest.LogCaptureFixture
) -> None:
    region = Region(memory.region(0)[:200])
    kept = region.slot(b"[1]")
    assert kept is not None
    with caplog.at_level(logging.ERROR):
        slots = [region.slot(json.dumps([number]).encode()) for number in range(100, 120)]
    assert None in slots
    assert len(caplog.records) == 1
    region.write(kept, 5.0)
    assert Region(memory.region(0)[:200]).read(kept) == 5.0


def test_histograms_are_shown_as_one_process_shows_them(begin: Callable[[int], Telemetry]) -> None:
    def observed(telemetry: Telemetry) -> Samples:
        for seconds in (0.0004, 0.02, 7, 1000):
            telemetry.stage_seconds.labels("waste", "infer").observe(seconds)
        return shown(telemetry)

    mine = observed(Telemetry())
    theirs = observed(begin(0))
    stages = [key for key in mine if "stage_duration" in key[0] and not key[0].endswith("_created")]
    assert {key: theirs[key] for key in stages} == {key: mine[key] for key in stages}
    assert len(stages) > 10


def model_comes_goes_and_comes(telemetry: Telemetry) -> None:
    telemetry.model_ready.labels("m").set(1)
    telemetry.model_ready.labels("other").set(1)
    telemetry.forget_model("m")
    assert of(telemetry, "model_ready", model="m") is None
    assert of(telemetry, "model_ready", model="other") == 1
    telemetry.model_ready.labels("m").set(0)
    assert of(telemetry, "model_ready", model="m") == 0


def test_a_model_that_is_gone_shows_no_more() -> None:
    model_comes_goes_and_comes(Telemetry())


def test_nor_does_one_that_is_gone_from_all_processes(begin: Callable[[int], Telemetry]) -> None:
    model_comes_goes_and_comes(begin(0))


def test_every_gauge_says_how_those_of_several_processes_make_one() -> None:
    gauges = {name: m for name, m in vars(Telemetry()).items() if type(m).__name__ == "Gauge"}
    assert gauges
    unsaid = [name for name, gauge in gauges.items() if not gauge._multiprocess_mode.startswith("live")]
    assert not unsaid, "its default shows a gauge once per process, dead ones for ever"
