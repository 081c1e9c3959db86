"""What operators watch the gateway with: rules, alerts and dashboard ask for nothing that the gateway does not tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from gateway.app import create_app
from gateway.errors import MaskgateError
from gateway.observability.metrics import Telemetry
from gateway.scheduling.lanes import LANES
from gateway.scheduling.timeline import STAGES
from gateway.settings import Settings
from tests.support.places import ROOT

FOLDER = ROOT / "deploy" / "observability"
DASHBOARD = FOLDER / "dashboard.json"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
OF_PROMETHEUS = {"job", "instance", "le"}
METRIC = re.compile(r"\bmaskgate[a-z0-9_:]*")
SELECTOR = re.compile(r"\b((?:maskgate[a-z0-9_:]*|up))\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right) ?\(([^)]*)\)")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


@cache
def exposed() -> dict[str, set[str]]:
    """Return the labels of every series that the gateway or a recording rule can write, by name."""
    found: dict[str, set[str]] = {}
    for metric in Telemetry().registry._collector_to_names:
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            for suffix in SUFFIXES[family.type]:
                found[family.name + suffix] = {*metric._labelnames, *OF_PROMETHEUS}
    for rule in rules("rules.yml"):
        (by, *_) = GROUPING.findall(rule["expr"])
        found[rule["record"]] = {label.strip() for label in by.split(",")}
    return found


def rules(file: str) -> list[dict[str, Any]]:
    """Return the rules of all groups in a file."""
    groups = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return all panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Yield whatever is asked of Prometheus, and where."""
    for file in ("rules.yml", "alerts.yml"):
        for rule in rules(file):
            yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in panels():
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
    for variable in json.loads(DASHBOARD.read_text(encoding="utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]


ASKED = [pytest.param(expression, id=f"{n}-{where}") for n, (where, expression) in enumerate(expressions())]


@cache
def values() -> dict[str, set[str]]:
    """Return what the labels can be whose values are closed sets."""
    routes = create_app(Settings(models={"repository": FOLDER})).openapi()["paths"].keys()
    codes = {error.code for error in _tree(MaskgateError)}
    return {
        "route": routes | {"unmatched"},
        "method": {"GET", "POST", "DELETE"},
        "status_class": {f"{n}xx" for n in range(6)},
        "reason": codes,
        "stage": set(STAGES),
        "outcome": {"failed", "changed", "unchanged", "sent", "lost"},
        "job": {"maskgate"},
        "lane": set(LANES),
    }


def _tree(root: type[MaskgateError]) -> Iterator[type[MaskgateError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


@pytest.mark.parametrize("expression", ASKED)
def test_only_what_is_exposed_is_asked_for(expression: str) -> None:
    named = set(METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))
    assert named <= exposed().keys()
    labels = set().union(*(exposed()[name] for name in named)) | OF_PROMETHEUS
    for grouping in GROUPING.findall(expression):
        assert {label.strip() for label in grouping.split(",") if label.strip()} <= labels
    for metric, selector in SELECTOR.findall(expression):
        assert {name for name, _, _ in MATCHER.findall(selector)} <= exposed().get(metric, OF_PROMETHEUS)


@pytest.mark.parametrize("expression", ASKED)
def test_every_value_asked_for_can_be(expression: str) -> None:
    known = values()
    for _, selector in SELECTOR.findall(expression):
        for label, operator, wanted in MATCHER.findall(selector):
            if wanted.startswith("$"):
                continue
            alternatives = [wanted] if operator in ("=", "!=") else _alternatives(wanted)
            for each in alternatives:
                assert any(re.fullmatch(each, value) for value in known[label]), f"{label}={each}"


def _alternatives(pattern: str) -> list[str]:
    """Return the patterns that ``a(b|c)d`` or ``b|c`` stands for."""
    group = re.fullmatch(r"(.*)\(([^()]*)\)(.*)", pattern)
    before, middle, after = group.groups() if group else ("", pattern, "")
    return [f"{before}{each}{after}" for each in middle.split("|")]


def test_panels_have_stable_ids_and_lie_beside_each_other() -> None:
    shown = panels()
    ids = [panel["id"] for panel in shown]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for panel in shown
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert {panel["type"] for panel in shown} == {"row", "timeseries", "stat"}
    assert all(panel.get("description") for panel in shown if panel["type"] != "row")


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    for alert in rules("alerts.yml"):
        assert alert["labels"].keys() == {"severity"}
        assert alert["annotations"].keys() == {"summary", "action"}


def test_every_alert_is_tested_where_it_fires() -> None:
    fired = {
        case["alertname"]
        for file in ("alerts_test.yml", "drift_test.yml")
        for test in yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {alert["alert"] for alert in rules("alerts.yml")}


@needs_promtool
@pytest.mark.parametrize("file", ["alerts_test.yml", "drift_test.yml"])
def test_alerts_fire_when_they_should_and_only_then(file: str) -> None:
    promtool("test", "rules", str(FOLDER / file))


@needs_promtool
def test_the_configuration_and_its_rules_are_sound() -> None:
    promtool("check", "config", str(FOLDER / "prometheus.yml"))


@needs_promtool
def test_the_dashboard_speaks_promql(tmp_path: Path) -> None:
    written = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    asked = [re.sub(r"\$(job|instance|task)", ".*", expr.replace("$__rate_interval", "5m")) for expr in written]
    assert "$" not in "".join(asked)
    group = {"name": "dashboard", "rules": [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(asked)]}
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
    promtool("check", "rules", str(file))


def promtool(*arguments: str) -> None:
    """Run promtool; fails where it complains."""
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
