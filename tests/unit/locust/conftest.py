"""A load as it might have been, without locust."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from maskgate_load.figures import figures
from maskgate_load.load import Load
from maskgate_load.options import Options
from maskgate_load.records import Lane, Record, Records
from maskgate_load.watch import Sample

SECONDS = 60


@pytest.fixture
def run() -> dict[str, Any]:
    """What `process.run` returns of a ramp to ten a second on a gateway that can do five."""
    records, rng = Records(), Random(1)
    for due in range(SECONDS * 5):
        at = SECONDS * (due / (SECONDS * 5)) ** 0.5
        lane: Lane = "emergency" if due % 10 == 0 else "bulk"
        record = records.add(Record("pairs" if due % 3 else "clicks: click", lane, at, rng.uniform(0, 0.002)))
        rate = 10 * at / SECONDS
        if rate > 8 and due % 3 == 1:
            record.refusals, record.outcome, record.seconds = 1, "refused", 0.001
        else:
            record.outcome, record.seconds = "answered", 0.1 if rate < 5 else 0.1 + rate - 5
    options = Options(arrivals="ramp", rate=5, seconds=SECONDS)
    return {
        **Load(options, []).to_json(),
        "began": 1000.0,
        "seconds": float(SECONDS + 4),
        "records": records.to_json(),
        "failures": [["pairs", "a <map> of (1, 2), not (2, 2)", 2]],
        "interrupted": False,
    }


@pytest.fixture
def samples() -> list[Sample]:
    """What `Watch` saw meanwhile: memory at rest, every wait 4 ms, every lag 1 ms."""
    return [
        Sample(
            at=1000.0 + second,
            requests=5 * second,
            queue={"bulk": {0.003: 0, 0.005: 5 * second, float("inf"): 5 * second}},
            lag={0.002: 20 * second, float("inf"): 20 * second},
            rss_mib=300.0 + second % 2,
            anonymous_mib=200.0,
            cpu_seconds=0.5 * second,
        )
        for second in range(SECONDS)
    ]


@pytest.fixture
def told(run: dict[str, Any], samples: list[Sample]) -> dict[str, Any]:
    machine = {"processor": "abacus", "cores": 2, "system": "Linux"}
    return figures(run, samples, "1.2.3", ["bd-fcn"]) | {"machine": machine}
