"""A real Prometheus, with the configuration of `deploy/observability`, beside a real gateway."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.pictures import encode, noise
from tests.support.places import ROOT
from tests.support.ports import free_port
from tests.support.processes import gateway
from tests.support.trivial import write_trivial_model

FOLDER = ROOT / "deploy" / "observability"
PAIR = {"pre": encode(noise(96, 96)), "post": encode(noise(96, 96, seed=1))}
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]


class Prometheus:
    """A running server, and what it says."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api

    def ask(self, path: str, **parameters: str) -> Any:
        answer = self._api.get(f"/api/v1{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression: str) -> float | None:
        """Return the one value of an instant query, None where it has none."""
        result = self.ask("/query", query=expression)["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def until(self, expression: str, wanted: float) -> None:
        """Wait until a query has a value."""
        deadline = time.monotonic() + 30
        while (found := self.value(expression)) != wanted:
            assert time.monotonic() < deadline, f"{expression} is {found}"
            time.sleep(0.1)


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run one on our configuration, that scrapes `target` each second, until the context ends."""
    configuration = (FOLDER / "prometheus.yml").read_text().replace("127.0.0.1:8080", target).replace("15s", "1s")
    assert target in configuration
    (folder / "prometheus.yml").write_text(configuration)
    for file in ("rules.yml", "alerts.yml"):
        shutil.copy(FOLDER / file, folder)
    port = free_port()
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as api:
            deadline = time.monotonic() + 30
            while not _ready(api):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield Prometheus(api)
    finally:
        process.terminate()
        process.wait(30)


def rules(server: Prometheus) -> list[dict[str, Any]]:
    """Return the rules that it has loaded."""
    return [rule for group in server.ask("/rules")["groups"] for rule in group["rules"]]


def health(server: Prometheus) -> set[str]:
    """Return how the evaluations of the rules went."""
    return {rule["health"] for rule in rules(server)}


def alerting(server: Prometheus) -> set[str]:
    """Return the names of the alerts that are pending or firing."""
    return {alert["labels"]["alertname"] for alert in server.ask("/alerts")["alerts"]}


def _ready(api: httpx.Client) -> bool:
    try:
        return api.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_it_scrapes_a_gateway_and_loads_the_alerts(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_trivial_model(models, "bd-lite0")
    with gateway(models) as process, prometheus(tmp_path, urlsplit(process.address).netloc) as server:
        server.until('up{job="maskgate"}', 1)
        for _ in range(3):
            assert httpx.post(f"{process.address}/v1/damage", files=PAIR, timeout=60).status_code == 200
        httpx.post(f"{process.address}/v1/damage", files=PAIR | {"pre": b"no picture"}, timeout=60)
        requests = 'maskgate_http_requests_total{job="maskgate",route="/v1/damage",method="POST"'
        server.until(f'{requests},status_class="2xx"}}', 3)
        server.until(f'{requests},status_class="4xx"}}', 1)
        assert server.value('sum(maskgate_stage_duration_seconds_count{task="damage",stage="infer"})') == 3
        assert server.value('maskgate_model_ready{model="bd-lite0"}') == 1
        assert (server.value("maskgate_resident_memory_bytes") or 0) > 10 * 1024 * 1024
        assert {"MaskgateNotScraped", "MaskgateErrorsBurnFast"} <= {rule["name"] for rule in rules(server)}
        deadline = time.monotonic() + 30
        while "MaskgateNotScraped" in alerting(server) or health(server) != {"ok"}:
            assert time.monotonic() < deadline, (alerting(server), health(server))
            time.sleep(0.2)


def test_a_gateway_that_is_not_there_is_an_alert(tmp_path: Path) -> None:
    with prometheus(tmp_path, "127.0.0.1:9") as server:
        deadline = time.monotonic() + 30
        while not alerting(server):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert alerting(server) == {"MaskgateNotScraped"}


def test_the_exposition_is_what_promtool_would_have_it(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_trivial_model(models, "bd-lite0")
    with gateway(models) as process:
        httpx.post(f"{process.address}/v1/damage", files=PAIR, timeout=60)
        text = httpx.get(f"{process.address}/metrics").text
    assert "maskgate_stage_duration_seconds_bucket" in text
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
