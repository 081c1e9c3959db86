"""The metrics of one process, and of several as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.metrics import Telemetry
from gateway.observability.place import Place, lay

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Telemetry]]:
    """Begin to count as the process of a number; one at a time, since prometheus_client counts as one only."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", os.fspath(tmp_path))
    lay(tmp_path, 2)

    def at(number: int) -> Telemetry:
        values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]
        return Telemetry(Place(number, 2, tmp_path))

    yield at
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


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
    begin: Callable[[int], Telemetry], tmp_path: Path
) -> None:
    for number in (0, 1):
        telemetry = begin(number)
        telemetry.images_decoded.inc(3)
        telemetry.inflight_requests.inc()
    Place(0, 2, tmp_path).vacate()
    assert (of(telemetry, "images_decoded_total"), of(telemetry, "inflight_requests")) == (6, 1)
    assert of(telemetry, "processes") == 1
    files = set(tmp_path.glob("counter_*.db"))
    successor = begin(0)
    successor.images_decoded.inc()
    assert (of(successor, "images_decoded_total"), of(successor, "inflight_requests")) == (7, 1)
    assert (of(successor, "processes"), of(successor, "process_starts_total")) == (2, 3)
    assert set(tmp_path.glob("counter_*.db")) == files


def test_a_file_that_was_only_just_made_troubles_nobody(begin: Callable[[int], Telemetry], tmp_path: Path) -> None:
    telemetry = begin(0)
    (tmp_path / "histogram_1.db").touch()
    assert of(telemetry, "processes") == 1


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
