"""The page for trying the service by hand, in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.browser import Page, browser
from tests.support.films import COLUMNS, ROWS, chest, dicom
from tests.support.pictures import decode, encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.toy_task.model import write_model
from tests.support.toy_task.spec import TASK
from tests.support.trivial import write_trivial_model
from tests.support.trivial_interactive import write_trivial_interactive
from tests.support.trivial_radiograph import write_trivial_radiograph
from tests.support.trivial_waste import write_trivial_waste

pytestmark = pytest.mark.e2e
WIDTH, HEIGHT = 400, 300
PIXELS = noise(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    models = write_trivial_interactive(tmp_path_factory.mktemp("models"))
    write_trivial_model(models, "bd-siamunet")
    write_trivial_radiograph(models, "cxr-a")
    write_trivial_waste(models)
    write_model(models)
    with gateway(models, MODELS_TASKS=json.dumps([TASK.package])) as process:
        yield process


@pytest.fixture
def page(server: GatewayProcess, tmp_path: Path) -> Iterator[Page]:
    with browser(tmp_path) as opened:
        opened.open(server.address)
        opened.until("document.getElementById('selector').options.length > 1")
        yield opened
        assert not opened.complaints


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(encode(PIXELS))
    return path


def text(page: Page, element: str) -> str:
    """Return what an element says, when every step so far is through."""
    said: str = page.evaluate(f"steps.then(() => document.getElementById('{element}').textContent)")
    return said


def shown(page: Page) -> list[dict[str, Any]]:
    """Return the prompts of the page's session."""
    state = page.evaluate("steps.then(() => fetch(`v1/interactive/sessions/${session}`)).then(answer => answer.text())")
    prompts: list[dict[str, Any]] = json.loads(state)["objects"]
    return prompts


def drag(page: Page, *way: tuple[float, float], shift: bool = False) -> None:
    """Drag over the canvas, from pixel to pixel of the picture."""
    # The sections of tasks stand above it, and come when the gateway has told of them.
    page.evaluate("document.getElementById('canvas').scrollIntoView()")
    corner = "(({ left, top, width }) => [left, top, width])(document.getElementById('canvas').getBoundingClientRect())"
    left, top, width = page.evaluate(corner)
    scale = width / WIDTH
    page.drag(*((left + (x + 0.5) * scale, top + (y + 0.5) * scale) for x, y in way), shift=shift)


def press(page: Page, button: str) -> None:
    page.until(f"!document.getElementById('{button}').disabled")
    page.evaluate(f"document.getElementById('{button}').click()")


def press_in(page: Page, form: str) -> None:
    page.evaluate(f"document.querySelector('#{form} button').click()")


def test_objects_are_boxed_clicked_and_taken_back(page: Page, photo: Path) -> None:
    page.choose("#picture", photo)
    page.until("!document.getElementById('canvas').hidden")
    page.evaluate("document.getElementById('canvas').scrollIntoView()")
    plain = page.evaluate("document.getElementById('canvas').toDataURL()")
    drag(page, (100, 80), (180, 150), (260, 220))
    (found,) = shown(page)
    assert found["box"] == [100, 80, 261, 221]
    assert "the inside click was taken" in text(page, "found")
    boxed = page.evaluate("document.getElementById('canvas').toDataURL()")
    assert boxed != plain
    drag(page, (180, 100))
    drag(page, (120, 200), shift=True)
    (mended,) = shown(page)
    assert mended == found | {"positive": [*found["positive"], [180, 100]], "negative": [[120, 200]]}
    drag(page, (390, 290), (270, 150))
    assert [prompt["box"] for prompt in shown(page)] == [[100, 80, 261, 221], [270, 150, 391, 291]]
    press(page, "undo")
    assert shown(page) == [mended]
    press(page, "undo")
    press(page, "undo")
    assert shown(page) == [found]
    assert page.evaluate("document.getElementById('canvas').toDataURL()") == boxed
    press(page, "undo")
    assert shown(page) == []
    assert page.evaluate("document.getElementById('canvas').toDataURL()") == plain
    assert text(page, "trouble") == ""


def test_what_is_done_can_be_saved_and_the_session_is_over(page: Page, photo: Path) -> None:
    page.choose("#picture", photo)
    page.until("!document.getElementById('canvas').hidden")
    drag(page, (100, 80), (260, 220))
    area = int(text(page, "found").split()[0])
    press(page, "done")
    assert text(page, "found") == "Save the masks"
    page.evaluate("document.querySelector('#found a').click()")
    deadline = time.monotonic() + 30
    while not (file := page.downloads / "masks.png").exists():
        assert time.monotonic() < deadline
        page.evaluate("0")
    saved = decode(file.read_bytes())
    assert page.evaluate("session") is None
    assert saved.shape == (HEIGHT, WIDTH)
    assert np.count_nonzero(saved == 1) == area
    assert page.evaluate("document.getElementById('undo').disabled")


def test_a_refused_click_is_said_and_the_next_one_goes_on(page: Page, photo: Path) -> None:
    page.choose("#picture", photo)
    page.until("!document.getElementById('canvas').hidden")
    drag(page, (100, 100), shift=True)
    assert "click-lite0 takes a box" in text(page, "trouble")
    drag(page, (100, 80), (260, 220))
    assert "pixels" in text(page, "found")
    assert text(page, "trouble") == ""


def test_a_film_is_scored_and_a_photograph_refused(page: Page, photo: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.dcm"
    film.write_bytes(dicom(chest(20)))
    page.until("!document.getElementById('films').hidden")
    page.choose("#filming input", film)
    press_in(page, "filming")
    page.until("document.querySelector('#verdict img')?.complete")
    cells = page.evaluate("[...document.querySelectorAll('#verdict td')].map(cell => cell.textContent)")
    assert [cells[0], cells[3], cells[4], cells[7]] == ["cxr-a", "COVID-19", "ensemble", "COVID-19"]
    assert cells[1] == cells[5]
    size = "(image => [image.naturalHeight, image.naturalWidth])(document.querySelector('#verdict img'))"
    assert page.evaluate(size) == [ROWS, COLUMNS]
    assert "not a diagnosis" in page.evaluate("document.getElementById('verdict').textContent")
    page.choose("#filming input", photo)
    press_in(page, "filming")
    page.until("document.getElementById('objection').textContent.includes('of colour')")
    assert page.evaluate("document.getElementById('verdict').children.length") == 0


def test_any_task_of_one_image_and_a_label_map_has_a_section(page: Page) -> None:
    page.until("!!document.getElementById('task-pebbles')")
    sections = "[...document.querySelectorAll('#tasks section')].map(section => section.id)"
    assert page.evaluate(sections) == ["task-waste", "task-pebbles"]
    assert page.evaluate("document.querySelector('#task-pebbles h2').textContent") == TASK.title


def test_a_task_from_outside_the_tree_is_shown(page: Page, photo: Path) -> None:
    page.until("!!document.getElementById('task-pebbles')")
    page.choose("#task-pebbles input", photo)
    press_in(page, "task-pebbles")
    page.until("document.querySelector('#task-pebbles .found img')?.complete")
    rows = "[...document.querySelectorAll('#task-pebbles .found tr td:first-child')].map(cell => cell.textContent)"
    assert page.evaluate(rows) == ["sand", "gravel", "cobble"]


def test_waste_is_shown_with_its_legend_and_counted(page: Page, photo: Path, tmp_path: Path) -> None:
    page.until("!!document.getElementById('task-waste')")
    page.choose("#task-waste input", photo)
    press_in(page, "task-waste")
    page.until("document.querySelector('#task-waste .found img')?.complete")
    size = "(image => [image.naturalHeight, image.naturalWidth])(document.querySelector('#task-waste .found img'))"
    height, width = page.evaluate(size)
    assert width == WIDTH
    assert height > HEIGHT  # the legend
    cells = page.evaluate(
        "[...document.querySelectorAll('#task-waste .found tr')].map(row => [...row.children].map(c => c.textContent))"
    )
    assert [row[0] for row in cells] == ["class", "background", "rigid_plastic", "cardboard"]
    assert sum(int(row[2]) for row in cells[1:]) == WIDTH * HEIGHT
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    page.choose("#task-waste input", broken)
    press_in(page, "task-waste")
    page.until("document.querySelector('#task-waste [role=alert]').textContent.includes('cut short')")
    assert page.evaluate("document.querySelector('#task-waste .found').children.length") == 0
