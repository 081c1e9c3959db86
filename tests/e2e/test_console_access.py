"""The console for everybody: what axe finds at each view, in light and dark, and what keys alone can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_console import VIEWS, models, server, window
from tests.support.browser import Page
from tests.support.console import Console
from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess
from tests.support.toy_task.spec import TASK
from tests.unit.console.test_sources import tool

pytestmark = pytest.mark.e2e
__all__ = ["models", "server", "window"]
_WORSE = ("serious", "critical")


@pytest.fixture
def console(server: GatewayProcess, window: Page) -> Console:
    return Console(window, server.address)


def faults(console: Console) -> list[str]:
    """Return what axe finds serious or worse, with where."""
    found = console.page.evaluate(
        "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(one => "
        "[one.impact, one.id, one.nodes.map(node => node.target.join(' ') + ' ' + node.failureSummary).join(' | ')]))"
    )
    return [f"{name}: {where}" for impact, name, where in found if impact in _WORSE]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(console: Console, scheme: str, tmp_path: Path) -> None:
    script = (tool("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    photo = tmp_path / "photo.png"
    photo.write_bytes(encode(noise(300, 400)))
    found: dict[str, list[str]] = {}
    for view in (*VIEWS, "models/bd-lite0"):
        console.open(view, scheme="dark" if scheme == "dark" else "light")
        if view in ("waste", TASK.name):
            console.choose("image", photo)
            console.press("Run")
            console.page.until(f"!!maskgate.state()['{view}'].report")
        if view == "radiograph":
            console.choose("image", photo)
            console.press("Score")
            console.has("of colour", ".side [role=alert]")
        if view == "service":
            console.has("Ready")
        console.page.evaluate(script + "; 0")
        if told := faults(console):
            found[view] = told
    assert found == {}


def test_a_task_is_done_by_keys_alone(console: Console, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(encode(noise(300, 400)))
    console.open("models")
    page = console.page
    page.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(40):
        page.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Waste":
            break
    page.press("Enter")
    page.until("location.hash === '#/waste' && !!document.querySelector('main input[type=file]')")
    console.choose("image", photo)
    page.evaluate("document.querySelector('main input[type=file]').focus()")
    page.press("Tab", "Tab")
    assert page.evaluate("document.activeElement.textContent") == "Run"
    page.press("Enter")
    page.until("!!maskgate.state().waste.report")
    page.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Opacity"
    page.press("ArrowLeft")
    page.until("maskgate.state().waste.opacity < 0.6")
