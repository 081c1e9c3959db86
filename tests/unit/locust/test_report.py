"""Figures and their page, from a load that never was."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from maskgate_load.figures import figures
from maskgate_load.records import Records
from maskgate_load.report import LOCUST_REPORT, chart, page, table
from maskgate_load.soak import told as told_of
from maskgate_load.soak import verdict
from maskgate_load.watch import Sample, quantile, read_metrics

INFINITY = float("inf")


def test_figures_add_up_and_are_json(told: dict[str, Any]) -> None:
    assert json.loads(json.dumps(told)) == told
    total = told["total"]
    assert total["offered"] == 300 == sum(row["offered"] for row in told["tasks"])
    assert total["answered"] + total["refused"] == 300
    assert total["unfinished"] == 0
    assert sum(window["offered"] for window in told["windows"]) == 300
    assert {(row["task"], row["lane"]) for row in told["tasks"]} == {
        (task, lane) for task in ("pairs", "clicks: click") for lane in ("emergency", "bulk")
    }
    assert told["generator_cpu_share"] >= 0


def test_the_knee_is_where_answers_begin_to_lag(told: dict[str, Any]) -> None:
    assert 4 < told["knee"] < 6


def test_a_load_that_is_kept_up_with_has_no_knee(run: dict[str, Any], samples: list[Sample]) -> None:
    run["options"]["deadline"] = 60.0
    early = sum(due < 20 for due in run["records"]["due"])
    run["records"] = {name: column[:early] for name, column in run["records"].items()}
    assert figures(run, samples, "1", [])["knee"] is None


def test_what_the_gateway_says_is_told_per_look(told: dict[str, Any]) -> None:
    assert {look["queue"]["bulk"]["p50"] for look in told["gateway"]} == {4.0}
    assert {look["cpu_share"] for look in told["gateway"]} == {0.5}
    assert all(look["lag_p99"] == pytest.approx(1.98) for look in told["gateway"])
    assert {look["rss_mib"] for look in told["gateway"]} == {300.0, 301.0}


def test_a_page_is_well_formed_whole_and_asks_nobody_for_anything(told: dict[str, Any]) -> None:
    html = page(told)
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(svg)
    body = html.partition("<h1>")[2]
    ET.fromstring("<html><h1>" + body.rpartition("</html>")[0] + "</html>")
    assert not re.search(r"""src=|url\(|@import|https?://|<script""", html)
    assert re.findall(r'href="(.*?)"', html) == [LOCUST_REPORT]
    assert html.count("<figure>") == 8
    assert "a &lt;map&gt; of (1, 2)" in html
    assert "1.2.3" in html


def test_the_table_has_a_line_for_each_and_names_what_went_wrong(told: dict[str, Any]) -> None:
    text = table(told | {"turned_away": 3, "interrupted": True})
    assert len(re.findall("^(pairs|clicks: click) +(bulk|emergency) ", text, re.MULTILINE)) == 4
    assert "failed 2×: pairs: a <map>" in text
    assert "3 arrivals were never sent" in text
    assert "Interrupted" in text
    assert "kept up to, per second" in text


def test_a_load_of_which_nothing_came_still_has_a_page(run: dict[str, Any], told: dict[str, Any]) -> None:
    run["records"] = Records().to_json()
    html = page(figures(run, [], "1", []) | {"machine": told["machine"]})
    assert "Nothing to show." in html
    assert "–" in html


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("scale", [1e-3, 0.7, 1.0, 130.0])
def test_lines_stay_within_their_chart_and_break_at_gaps(logarithmic: bool, scale: float) -> None:
    line = [(0, scale), (1, 5 * scale), (2, None), (3, 2 * scale), (4, 4 * scale)]
    svg = re.search(r"<svg.*</svg>", chart("t", "u", {"a<b": line}, 4, logarithmic=logarithmic))
    assert svg is not None
    root = ET.fromstring(svg[0])
    lines = [element.attrib["points"] for element in root.iter("polyline")]
    assert [len(points.split()) for points in lines] == [2, 2]
    for points in lines:
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 560
            assert 0 <= y <= 200


def test_a_chart_of_zeros_has_an_axis() -> None:
    for logarithmic in (False, True):
        drawn = chart("t", "u", {"none": [(0, 0.0), (1, 0.0)]}, 2, logarithmic=logarithmic)
        assert ">1</text>" in drawn


def test_quantiles_of_buckets_are_prometheus_own() -> None:
    before = {0.1: 10.0, 0.2: 10.0, INFINITY: 10.0}
    after = {0.1: 10.0, 0.2: 110.0, INFINITY: 110.0}
    assert quantile(before, after, 0.5) == pytest.approx(0.15)
    assert quantile(before, before, 0.5) is None
    assert quantile({}, {0.1: 0.0, INFINITY: 4.0}, 0.99) == 0.1
    assert quantile({}, {}, 0.5) is None


def test_an_exposition_is_read_and_its_processes_are_added() -> None:
    text = """
# TYPE maskgate_http_requests_total counter
maskgate_http_requests_total{route="/v1/damage",method="POST",status_class="2xx"} 5
maskgate_http_requests_total{route="/metrics",method="GET",status_class="2xx"} 9
maskgate_http_requests_total{route="/v1/interactive/sessions/{session}",method="DELETE",status_class="2xx"} 3
maskgate_http_requests_total{route="/v1/interactive/sessions/{session}",method="DELETE",status_class="4xx"} 1
# TYPE maskgate_queue_wait_seconds histogram
maskgate_queue_wait_seconds_bucket{lane="bulk",le="0.1"} 1
maskgate_queue_wait_seconds_bucket{lane="bulk",le="+Inf"} 2
maskgate_queue_wait_seconds_bucket{lane="emergency",le="0.1"} 4
maskgate_queue_wait_seconds_bucket{lane="emergency",le="+Inf"} 4
# TYPE maskgate_inflight_requests gauge
maskgate_inflight_requests{pid="1"} 2
maskgate_inflight_requests{pid="2"} 3
"""
    seen = read_metrics(text)
    assert (seen["requests"], seen["sessions"], seen["held"]) == (9, 3, 5)
    assert seen["queue"] == {"bulk": {0.1: 1, INFINITY: 2}, "emergency": {0.1: 4, INFINITY: 4}}
    assert seen["lag"] == {}


def soaked(per_thousand: float, settles: float = 0.0) -> list[Sample]:
    """Return what is seen of a gateway whose memory grows, and wanders, and settles by so many MiB at first."""
    return [
        Sample(
            at=number,
            requests=50 * number,
            rss_mib=300 + per_thousand * number / 20 + 5 * (number * 7 % 5) + settles * min(1, number / 80),
            anonymous_mib=200.0,
        )
        for number in range(400)
    ]


@pytest.mark.parametrize(
    ("per_thousand", "settles", "grows"), [(0.0, 0.0, False), (2.0, 0.0, True), (0.0, 80.0, False), (-2.0, 0.0, False)]
)
def test_only_what_goes_on_growing_grows(per_thousand: float, settles: float, grows: bool) -> None:
    found = verdict(soaked(per_thousand, settles), 0.25)
    assert found is not None
    assert found.whole is not None
    assert found.grows is grows
    assert found.whole.slope == pytest.approx(per_thousand, abs=0.1)
    assert f"{found.requests:,} requests" in told_of(found)


def test_a_short_soak_does_not_say_that_memory_grows() -> None:
    found = verdict(soaked(100.0)[:3], 0.25)
    assert found is not None
    assert not found.grows
    assert "too short to say" in told_of(found)
    assert verdict([Sample(at=1, requests=3)], 0.25) is None
