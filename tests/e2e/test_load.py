"""Locust against a real gateway: every task, the report, refusals, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from maskgate_load.options import CLOSED, MIX, Options
from maskgate_load.process import LoadFailed, run
from maskgate_load.report import LOCUST_REPORT
from maskgate_load.watch import Watch, read_metrics

from gateway.access.keys import digest_of
from tests.support.places import ROOT
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial_all import SETTINGS, write_trivial_repository

pytestmark = pytest.mark.e2e
STEPS = {"clicks: begin", "clicks: first", "clicks: click", "clicks: end"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trivial_repository(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[GatewayProcess]:
    with gateway(models, LOG_LEVEL="WARNING", **SETTINGS) as process:
        yield process


def command(program: str, *arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "clients/python/src", "clients/locust"))
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.load.{program}", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_gateway_that_asks_for_keys_is_watched_with_one(models: Path) -> None:
    key = {"digest": digest_of("key"), "scopes": ["metrics"]}
    with gateway(models, AUTH_KEYS=json.dumps({"watch": key}), **SETTINGS) as process:
        with Watch(process.address, None, headers={"Authorization": "Bearer key"}) as watch:
            pass
        assert (watch.missed, len(watch.samples)) == (0, 2)


def test_five_seconds_of_every_task_are_reported(server: GatewayProcess, tmp_path: Path) -> None:
    target = ["--url", server.address, "--pid", str(server.process.pid), "--record", str(tmp_path)]
    load = ["--arrivals", "steady", "--rate", "8", "--seconds", "5", "--think", "0.05", "--emergency-share", "0.3"]
    process = command("load", *target, *load)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    told = kept(tmp_path)
    assert {row["task"] for row in told["tasks"]} == ({*MIX} - {"clicks"}) | STEPS
    assert {row["lane"] for row in told["tasks"]} == {"emergency", "bulk"}
    total = told["total"]
    assert total["offered"] == total["answered"] > 20
    assert told["failures"] == []
    assert told["visits"] == sum(
        row["offered"] for row in told["tasks"] if row["task"] not in STEPS - {"clicks: begin"}
    )
    assert max(look["rss_mib"] for look in told["gateway"]) > 50
    assert sum(look["cpu_share"] for look in told["gateway"]) > 0
    html = (tmp_path / "report.html").read_text()
    ET.fromstring("<html><h1>" + html.partition("<h1>")[2].rpartition("</html>")[0] + "</html>")
    theirs = (tmp_path / LOCUST_REPORT).read_text()
    assert [row for row in told["tasks"] if f"{row['task']}, {row['lane']}" not in theirs] == []
    assert "Steady arrivals about 8/s" in output


def test_what_is_refused_has_not_failed_and_comes_again_when_told(models: Path) -> None:
    options = Options(arrivals=CLOSED, seconds=4, tasks={"pairs": 1, "slices": 1}, attempts=2)
    with gateway(models, LOG_LEVEL="WARNING", LIMITS_INFLIGHT_REQUESTS="1", WORK_THREADS="1", **SETTINGS) as small:
        told = run(small.address, options, users=6)
    refusals, answered = sum(told["records"]["refusals"]), told["records"]["outcome"].count("answered")
    assert refusals > 0
    assert answered > 0
    assert told["failures"] == []
    # Six callers who stay away for a second or more after each refusal: a caller who hammers would have hundreds.
    assert refusals <= 6 * 2 * (options.seconds + 2)


def test_what_is_not_served_is_not_asked_for(models: Path, tmp_path: Path) -> None:
    (tmp_path / "trivial").symlink_to(models / "trivial")
    with gateway(tmp_path, LOG_LEVEL="WARNING", **SETTINGS) as lone:
        told = run(lone.address, Options(arrivals=CLOSED, seconds=1), users=2)
        assert told["options"]["tasks"].keys() == {"pairs", "tensors"}
        with pytest.raises(LoadFailed, match="no model ready"):
            run(lone.address, Options(tasks={"radiographs": 1}))


def test_a_soak_is_stopped_at_its_bound_and_says_what_memory_does(server: GatewayProcess, tmp_path: Path) -> None:
    target = ["--url", server.address, "--pid", str(server.process.pid), "--record", str(tmp_path)]
    process = command("soak", *target, "--requests", "60", "--users", "4", "--load-tasks", "slices=2,clicks")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "does not grow" in output
    told = kept(tmp_path)
    assert told["verdict"]["requests"] >= 60
    assert told["verdict"]["sessions"] >= 1
    assert len(told["samples"]) >= 2


def test_ctrl_c_ends_a_load_with_its_report(server: GatewayProcess, tmp_path: Path) -> None:
    load = ["--rate", "5", "--seconds", "600", "--load-tasks", "slices"]
    process = command("load", "--url", server.address, "--record", str(tmp_path), *load)
    before, deadline = answered(server), time.monotonic() + 60
    while answered(server) < before + 5:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Interrupted before its end." in output
    told = kept(tmp_path)
    assert told["interrupted"]
    assert told["total"]["answered"] >= 3
    assert (tmp_path / "report.html").is_file()


def kept(folder: Path) -> Any:
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())


def answered(server: GatewayProcess) -> float:
    return float(read_metrics(httpx.get(f"{server.address}/metrics").text)["requests"])
