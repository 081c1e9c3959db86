"""The report of the peers' benchmark, from windows that are known."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.load.bench import Request
from tests.load.peers.report import BARE, FORMER, GATEWAY, Windows, figures, plot, readings, shortfalls, table
from tests.load.peers.sender import CONCURRENCY, PeerMissing, Window, load, window
from tests.load.peers.servers import PEERS, serving, versions_of

AIMS = {512: 0.95, 1024: 1.05}


def windows(gateway: float, peer: float, slowest_of_peer: float = 0.9) -> Windows:
    """Return three rounds on a machine whose speed drifts; latencies are a hundred, the last the slowest."""

    def seen(share: float, slowest: float) -> list[Window]:
        latencies = (*[0.1] * 98, slowest, slowest)
        return [Window(share * pace, latencies) for pace in (100.0, 50.0, 80.0)]

    def both(share: float, slowest: float) -> dict[int, list[Window]]:
        return {512: seen(share, slowest), 1024: seen(share, slowest)}

    bare = {side: [Window(pace) for pace in (100.0, 50.0, 80.0)] for side in AIMS}
    return {BARE: bare, GATEWAY: both(gateway, 0.5), "LitServe": both(peer, slowest_of_peer)}


def test_shares_are_of_the_same_round() -> None:
    read = readings(windows(1.1, 0.5))
    assert read[GATEWAY][512].share == pytest.approx(1.1)
    assert read["LitServe"][1024].share == pytest.approx(0.5)
    assert read[BARE][512].per_second == 80
    assert read[GATEWAY][512].per_second == pytest.approx(88)
    assert read[GATEWAY][512].p50_ms == pytest.approx(100)
    assert read[GATEWAY][512].p99_ms == pytest.approx(500)
    assert read[BARE][512].p99_ms is None


def test_one_slow_round_moves_no_median() -> None:
    seen = {BARE: {512: [Window(100)] * 3}, GATEWAY: {512: [Window(90, (1,)), Window(20, (1,)), Window(92, (1,))]}}
    assert readings(seen)[GATEWAY][512].share == pytest.approx(0.9)


def test_figures_name_servers_and_sides() -> None:
    kept = figures(readings(windows(1.1, 0.5)))
    assert kept["shares"] == {GATEWAY: {"512": 1.1, "1024": 1.1}, "LitServe": {"512": 0.5, "1024": 0.5}}
    assert kept["p99_ms"]["LitServe"] == {"512": 900.0, "1024": 900.0}
    assert kept["pairs_per_second"][BARE] == {"512": 80.0, "1024": 80.0}
    assert kept["concurrency"] == CONCURRENCY


def test_what_falls_short_is_said() -> None:
    assert shortfalls(readings(windows(1.1, 0.5)), AIMS) == []
    said = shortfalls(readings(windows(1.0, 1.02, slowest_of_peer=0.2)), AIMS)
    assert "1024²: 1.00 of the bare loop, 1.05 was aimed at." in said
    assert "512²: LitServe has the better share, 1.02 against 1.00." in said
    assert "1024²: LitServe has the better p99 in ms, 200 against 500." in said
    assert len(said) == 5


def test_the_gateway_of_another_commit_is_no_peer() -> None:
    seen = {**windows(1.1, 0.5), FORMER[GATEWAY]: windows(2.0, 0.5)[GATEWAY]}
    assert shortfalls(readings(seen), AIMS) == []


def test_table_names_what_is_missing() -> None:
    document = table(readings(windows(1.1, 0.5)), {"LitServe": "0.2"}, {"Ray Serve": "no wheel"}, ["A note."])
    assert "| LitServe | 0.2 | 40.0 | 40.0 | 0.50 | 0.50 | 100 | 100 | 900 | 900 |" in document
    assert "| bare loop |  | 80.0 | 80.0 | 1.00 | 1.00 | – | – | – | – |" in document
    assert "| Ray Serve | not measured: no wheel |" in document
    assert document.endswith("- A note.\n")
    widths = {line.count("|") for line in document.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_plot_is_drawn(tmp_path: Path) -> None:
    plot(readings(windows(1.1, 0.5)), AIMS, tmp_path / "peers.svg")
    assert "<svg" in (tmp_path / "peers.svg").read_text()


def test_a_window_begins_with_the_servers_at_work() -> None:
    idle = [(10.0 + 0.01 * n, 0.3) for n in range(CONCURRENCY)]
    busy = [(11.0 + 0.5 * n, 0.8) for n in range(4)]
    assert window([*busy, *idle]) == Window(4 / (12.5 - idle[-1][0]), (0.8,) * 4)


def test_a_peer_that_is_not_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.load.peers.servers.ENVIRONMENTS", tmp_path)
    ray = PEERS[-1]
    with pytest.raises(PeerMissing, match="make bench-peers"):
        versions_of(ray, ray.python)
    (tmp_path / "ray.log").write_text("hint: none\nerror: ray has no wheel for this Python\n\n")
    with pytest.raises(PeerMissing, match="has no wheel"):
        versions_of(ray, ray.python)


def test_a_peer_that_does_not_start_says_why(tmp_path: Path) -> None:
    request = Request(b"", b"", "text/plain", b"")
    with (
        pytest.raises(PeerMissing, match="No module named"),
        serving(PEERS[1], Path(sys.executable), tmp_path, request),
    ):
        pass


def test_a_server_that_is_gone_is_told_of() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/pair"
        with pytest.raises(PeerMissing, match="no answer under load: ConnectionRefusedError"):
            load(url, Request(b"", b"", "text/plain", b""), 0.01)
