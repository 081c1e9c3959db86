"""One gateway in several processes: they share the work, die one by one, and leave together."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.crew import alive, connect, connection_to_each, get, holder, until, workers
from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="processes are told apart by Linux' /proc"),
]
GOOD = encode(noise(96, 96))
SLOW = encode(noise(3000, 3000))
ALONE = {"WORK_THREADS": "2", "ENGINE_LANES": "2", "SERVER_WORKERS": "2"}
PREPARED = httpx.Request("POST", "http://x", files={"pre": GOOD, "post": GOOD})
MANY = 20
BODY, CONTENT_TYPE = PREPARED.read(), PREPARED.headers["Content-Type"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-lite0")
    return root


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[GatewayProcess]:
    with gateway(repository, ENGINE_WATCH_SECONDS="0", **ALONE) as process:
        yield process


def samples(text: str) -> dict[str, float]:
    """Return what a scrape shows, by name and labels; what is not well-formed raises."""
    families = text_string_to_metric_families(text)
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in families
        for sample in family.samples
    }


def sample(server: GatewayProcess, name: str) -> float:
    return samples(httpx.get(f"{server.address}/metrics", timeout=30).text)[f"{name}[]"]


def post(connection: http.client.HTTPConnection, body: bytes = BODY, kind: str = CONTENT_TYPE) -> int:
    connection.request("POST", "/v1/damage", body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status


class Askers:
    """Threads that ask for slow answers, one each, and what they were answered; 0 where the connection ended."""

    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        request = httpx.Request("POST", "http://x", files={"pre": SLOW, "post": SLOW})
        self.body, self.kind = request.read(), request.headers["Content-Type"]
        self.answers: list[int] = []
        self._threads = [threading.Thread(target=self._ask, args=(connection,)) for connection in connections]
        for thread in self._threads:
            thread.start()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        with closing(connection):
            try:
                self.answers.append(post(connection, self.body, self.kind))
            except (OSError, http.client.HTTPException):
                self.answers.append(0)

    def join(self) -> list[int]:
        for thread in self._threads:
            thread.join(60)
        return self.answers


def test_one_greeting_for_all(server: GatewayProcess) -> None:
    until(lambda: "overlay.png" in "".join(server.output), "no greeting")
    assert "".join(server.output).count("Maskgate answers at") == 1
    assert len(workers(server)) == 2


def test_connections_are_spread_and_metrics_added_up(server: GatewayProcess) -> None:
    connections = [connect(server) for _ in range(MANY)]
    before = sample(server, "maskgate_images_decoded_total")
    assert [post(connection) for connection in connections] == [200] * MANY
    spread = Counter(holder(server, connection) for connection in connections)
    assert set(spread) == set(workers(server))
    # Half each, but for what a process took that waited in vain for another with much to do.
    assert min(spread.values()) >= MANY // 4
    for connection in connections:
        text = get(connection, "/metrics")[1].decode()
        assert samples(text)["maskgate_images_decoded_total[]"] == before + 2 * MANY
        assert samples(text)["maskgate_processes[]"] == 2
        connection.close()


def test_a_refresh_reaches_every_process(server: GatewayProcess, repository: Path) -> None:
    with connection_to_each(server) as connections:
        write_trivial_model(repository, "late")
        assert httpx.post(f"{server.address}/v1/repository/refresh", timeout=30).json()["added"] == ["late"]
        for connection in connections.values():
            until(lambda c=connection: get(c, "/v1/models/late")[0] == 200, "a process does not know the model")  # type: ignore[misc]


def test_sessions_without_a_redis_are_refused_before_the_body(server: GatewayProcess) -> None:
    answer = httpx.post(f"{server.address}/v1/interactive/sessions", files={"image": GOOD})
    assert (answer.status_code, answer.json()["code"]) == (501, "sessions-unshared")
    assert "MASKGATE_SESSIONS_URL" in answer.json()["detail"]


def test_one_that_is_killed_loses_its_own_requests_alone(server: GatewayProcess) -> None:
    victim = workers(server)[0]
    failed: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    go_on = threading.Event()
    go_on.set()

    def ask() -> None:
        while go_on.is_set():
            pid = 0
            try:
                with closing(connect(server)) as connection:
                    while go_on.is_set():
                        assert post(connection) == 200
                        pid = pid or holder(server, connection)
                        answered[pid] += 1
            except (OSError, http.client.HTTPException):
                failed[pid] += 1

    askers = [threading.Thread(target=ask) for _ in range(MANY)]
    for asker in askers:
        asker.start()
    try:
        until(lambda: len(answered) >= 2, "one process answers all")
        seen = samples(httpx.get(f"{server.address}/metrics", timeout=30).text)
        due = seen["maskgate_process_starts_total[]"] + 1
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while seen["maskgate_process_starts_total[]"] < due or seen["maskgate_processes[]"] < 2:
            assert time.monotonic() < deadline, "no other process takes the dead one's place"
            try:
                now = samples(httpx.get(f"{server.address}/metrics", timeout=30).raise_for_status().text)
            except httpx.TransportError:  # the scrape itself was the victim's
                continue
            counted = [name for name in seen if "_total[" in name or "_count[" in name]
            assert not [name for name in counted if now.get(name, 0) < seen[name]], "a counter went backwards"
            seen = now
        with connection_to_each(server) as connections:
            assert [post(connection) for connection in connections.values()] == [200, 200]
    finally:
        go_on.clear()
        for asker in askers:
            asker.join(60)
    assert set(failed) <= {victim, 0}, "another process's request was lost"
    assert 1 <= sum(failed.values()) <= MANY
    assert sample(server, "maskgate_inflight_requests") == 0
    assert f"process {victim} was killed by SIGKILL" in "".join(server.output)
    assert "Traceback" not in "".join(server.output)


def test_sigterm_drains_all(repository: Path) -> None:
    with gateway(repository, SERVER_DRAIN_DELAY_SECONDS="4", **ALONE) as server, connection_to_each(server) as each:
        asking = Askers([connect(server) for _ in range(4)])
        until(lambda: sample(server, "maskgate_inflight_requests") == 4, "requests are not held")
        server.terminate()
        for connection in each.values():
            until(lambda c=connection: get(c, "/readyz")[0] == 503, "a process stays ready")  # type: ignore[misc]
            # Who asks all the same, before the socket closes, is answered.
            assert post(connection) == 200
        assert asking.join() == [200] * 4
        assert server.process.wait(30) == 0
        assert not [pid for pid in each if alive(pid)]
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        assert "Traceback" not in "".join(server.output)


def test_a_second_sigint_waits_for_nothing(repository: Path) -> None:
    with gateway(repository, **ALONE) as server:
        asking = Askers([connect(server) for _ in range(8)])
        until(lambda: sample(server, "maskgate_inflight_requests") == 8, "requests are not held")
        server.process.send_signal(signal.SIGINT)
        until(lambda: refused(server), "the socket stays open")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        # Cut off, or told that it came to nothing.
        assert {0, 500} & set(asking.join())


def refused(server: GatewayProcess) -> bool:
    address = urlsplit(server.address)
    with socket.socket() as attempt:
        return attempt.connect_ex((address.hostname, address.port)) != 0


def test_nothing_is_left_where_the_supervisor_is_killed(repository: Path) -> None:
    with gateway(repository, **ALONE) as server:
        processes = workers(server)
        server.process.kill()
        until(lambda: not any(alive(pid) for pid in processes), "an orphan is left")
        assert refused(server)


def test_one_that_hangs_is_replaced(repository: Path) -> None:
    with gateway(repository, SERVER_HANG_SECONDS="4", **ALONE) as server:
        until(lambda: len(workers(server)) == 2, "they do not begin")
        victim, other = workers(server)
        with connection_to_each(server) as connections:
            assert post(connections[victim]) == 200
            before = sample_at(connections[other], "maskgate_images_decoded_total")
            os.kill(victim, signal.SIGSTOP)
            until(lambda: not alive(victim), "a process that hangs stays")
            # The gauge counts the dead one until it is reaped.
            until(lambda: len({*workers(server)} - {victim}) == 2, "nobody takes its place")
            until(lambda: sample_at(connections[other], "maskgate_processes") == 2, "nobody takes its place")
            assert sample_at(connections[other], "maskgate_images_decoded_total") >= before >= 2
        with connection_to_each(server) as connections:
            assert victim not in connections
            assert [post(connection) for connection in connections.values()] == [200, 200]
        assert f"process {victim} hangs" in "".join(server.output)


def test_neither_a_full_disk_nor_a_cleaned_folder_is_felt(repository: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path))
        with gateway(repository, **ALONE) as server:
            until(lambda: len(workers(server)) == 2, "they do not begin")
            assert not [file for pid in [server.process.pid, *workers(server)] for file in mapped(pid, tmp_path)]
            shutil.rmtree(tmp_path)
            seen = samples(httpx.get(f"{server.address}/metrics", timeout=30).text)
            os.kill(workers(server)[0], signal.SIGKILL)
            until(lambda: sample(server, "maskgate_process_starts_total") == 3, "nobody takes its place")
            assert sample(server, "maskgate_processes") == 2
            assert seen.keys() <= samples(httpx.get(f"{server.address}/metrics", timeout=30).text).keys()
            with connection_to_each(server) as connections:
                assert [post(connection) for connection in connections.values()] == [200, 200]


def mapped(pid: int, folder: Path) -> list[str]:
    """Return what a process has mapped from a folder; a page of that which the disk has no room for is SIGBUS."""
    return [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if str(folder) in line]


def sample_at(connection: http.client.HTTPConnection, name: str) -> float:
    return samples(get(connection, "/metrics")[1].decode())[f"{name}[]"]


def test_a_port_in_use_is_said(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for count in ("1", "2"):
            result = run("--port", str(port), "--workers", count, "--models", str(repository))
            assert result.returncode == 1
            assert result.stderr == f"The gateway cannot listen on 127.0.0.1:{port}: Address already in use.\n"


def test_it_gives_up_where_no_process_comes_up(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_SESSIONS_URL", "redis://localhost:none")
    result = run("--port", "0", "--workers", "2", "--models", str(repository))
    assert result.returncode == 1
    assert "none of 2 processes came up" in result.stderr


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
