"""The console's view of boxes and clicks, in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.browser import Page, browser
from tests.support.console import Console
from tests.support.pictures import decode, encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial_interactive import write_trivial_interactive

pytestmark = pytest.mark.e2e
WIDTH, HEIGHT = 400, 300
PIXELS = noise(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trivial_interactive(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[GatewayProcess]:
    with gateway(models) as process:
        yield process


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def console(server: GatewayProcess, window: Page) -> Iterator[Console]:
    window.complaints.clear()
    console = Console(window, server.address)
    console.open("interactive")
    yield console
    assert not window.complaints


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(encode(PIXELS))
    return path


def show(console: Console, photo: Path) -> None:
    """Open an image, and wait for the gateway to have it."""
    console.page.until("document.querySelector('main select').options.length > 1")
    console.choose("image", photo)
    console.page.until("!!document.querySelector('.stage canvas').dataset.view")
    settle(console)


def settle(console: Console) -> None:
    """Wait until every click is answered."""
    console.page.until("maskgate.state().interactive.steps === 0")


def objects(console: Console) -> list[dict[str, Any]]:
    """Return the objects that are there, when every click is answered."""
    settle(console)
    return [one for one in console.state("interactive")["objects"] if not one["deleted"]]


def prompts(console: Console) -> list[dict[str, Any]]:
    """Return what the page's session has in the gateway."""
    settle(console)
    state = f"fetch('../v1/interactive/sessions/{session(console)}').then(answer => answer.text())"
    told: list[dict[str, Any]] = json.loads(console.page.evaluate(state))["objects"]
    return told


def session(console: Console) -> str:
    """Return the id of the session that the page asked last."""
    entries = "performance.getEntriesByType('resource').map(one => one.name)"
    asked = console.page.evaluate(f"{entries}.filter(name => name.includes('/clicks')).at(-1)")
    name: str = asked.split("/sessions/")[1].split("/")[0]
    return name


def readout(console: Console) -> str:
    settle(console)
    return console.text(".readout")


def test_objects_are_boxed_clicked_and_taken_back(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((100, 80), (180, 150), (260, 220))
    (found,) = prompts(console)
    assert found["box"] == [100, 80, 261, 221]
    assert "the inside click was taken" in readout(console)
    console.drag((180, 100))
    console.drag((120, 200), shift=True)
    (mended,) = prompts(console)
    assert mended == found | {"positive": [*found["positive"], [180, 100]], "negative": [[120, 200]]}
    console.drag((390, 290), (270, 235))
    assert [prompt["box"] for prompt in prompts(console)] == [[100, 80, 261, 221], [270, 235, 391, 291]]
    console.press("Undo (Ctrl Z)")
    assert prompts(console) == [mended]
    console.page.press("z", control=True)
    console.page.press("z", control=True)
    assert prompts(console) == [found]
    before = objects(console)
    console.page.press("z", control=True, shift=True)
    assert prompts(console) == [found | {"positive": mended["positive"]}]
    console.press("Undo (Ctrl Z)")
    assert objects(console) == before
    console.press("Undo (Ctrl Z)")
    assert prompts(console) == []
    assert objects(console) == []


def test_what_is_too_much_is_told_by_toggle_right_button_and_alt(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((100, 80), (260, 220))
    console.drag((110, 90), button="right")
    console.drag((120, 100), alt=True)
    console.press("Too much")
    console.drag((130, 110))
    (found,) = objects(console)
    assert [event["negative"] for event in found["events"][1:]] == [[[110, 90]], [[120, 100]], [[130, 110]]]


def test_a_click_on_another_object_is_that_objects(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((20, 20), (120, 120))
    console.drag((200, 150), (380, 280))
    first, second = objects(console)
    x, y = first["found"]["polygons"][0]["polygon"][0]
    inside = next((a, b) for a in range(x - 2, x + 3) for b in range(y, y + 4) if is_on(console, first, a, b))
    console.drag(inside)
    assert console.state("interactive")["active"] == first["id"]
    assert "Object 1 is chosen" in console.text(".readout")
    assert objects(console) == [first, second]
    console.drag((60, 60), alt=True)
    mended, same = objects(console)
    assert (len(mended["events"]), same) == (2, second)
    third = next((a, b) for a in range(200, 380) for b in range(150, 280) if is_on(console, second, a, b))
    console.drag(third, button="right")
    _, mended = objects(console)
    assert mended["events"][1:] == [{"negative": [list(third)]}]


def is_on(console: Console, found: dict[str, Any], x: int, y: int) -> bool:
    rings = [part["polygon"] for part in found["found"]["polygons"]]
    outlines = " ".join("M" + " ".join(f"{a} {b}" for a, b in ring) + "Z" for ring in rings)
    context = "document.createElement('canvas').getContext('2d')"
    return bool(console.page.evaluate(f"{context}.isPointInPath(new Path2D('{outlines}'), {x}, {y})"))


def test_masks_are_saved_and_a_session_that_is_gone_is_made_again(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((100, 80), (260, 220))
    console.drag((20, 20), (90, 70))
    first, second = objects(console)
    gone = session(console)
    assert httpx.delete(f"{console.address}/v1/interactive/sessions/{gone}").status_code == 204
    console.press("PNG")
    saved = decode(console.saved("masks.png"))
    assert saved.shape == (HEIGHT, WIDTH)
    assert np.count_nonzero(saved == 2) == second["found"]["area"]
    assert np.count_nonzero(saved == 1) == first["found"]["area"]
    console.drag((60, 40))
    _, mended = objects(console)
    assert len(mended["events"]) == 2
    assert session(console) != gone
    assert [prompt["box"] for prompt in prompts(console)] == [[100, 80, 261, 221], [20, 20, 91, 71]]
    assert console.text("[role=alert]").strip() == ""


def test_a_refused_click_is_said_and_the_next_one_goes_on(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((100, 100), shift=True)
    console.has("a positive one among them", "main [role=alert]")
    assert objects(console) == []
    console.drag((100, 80), (260, 220))
    assert "pixels" in readout(console)
    assert console.text("main [role=alert]") == ""


def test_objects_are_named_hidden_deleted_and_brought_back(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((20, 20), (120, 120))
    console.drag((200, 150), (380, 280))
    first, second = objects(console)
    console.page.evaluate("document.querySelector('.objects input').focus()")
    console.page.evaluate("document.querySelector('.objects input').select()")
    for letter in "car":
        console.page.press(letter)
    console.page.press("Enter")
    console.page.until("maskgate.state().interactive.objects[0].name === 'car'")
    console.press("Hide object 2")
    console.press("COCO")
    coco = json.loads(console.saved("masks.json"))
    assert [one["name"] for one in coco["categories"]] == ["car", "object"]
    assert [one["area"] for one in coco["annotations"]] == [first["found"]["area"], second["found"]["area"]]
    assert (coco["images"][0]["width"], coco["images"][0]["height"]) == (WIDTH, HEIGHT)
    console.press("Delete object 1")
    assert [one["id"] for one in objects(console)] == [second["id"]]
    console.press("GeoJSON")
    (feature,) = json.loads(console.saved("outlines.geojson"))["features"]
    assert feature["properties"]["area"] == second["found"]["area"]
    console.page.evaluate("document.activeElement.blur()")
    console.page.press("z", control=True)
    assert [one["name"] for one in objects(console)] == ["car", "object"]


def test_pinching_draws_no_box(console: Console, photo: Path) -> None:
    console.open("interactive", phone=True)
    show(console, photo)
    scale = float(console.page.evaluate("document.querySelector('.stage canvas').dataset.view.split(' ')[0]"))
    a, b = console.places((150, 150), (250, 150))
    console.page.touch("Start", a)
    console.page.touch("Start", a, b)
    for step in range(1, 6):
        console.page.touch("Move", (a[0] - 8 * step, a[1]), (b[0] + 8 * step, b[1]))
    console.page.touch("End")
    assert objects(console) == []
    grown = float(console.page.evaluate("document.querySelector('.stage canvas').dataset.view.split(' ')[0]"))
    assert grown > 1.3 * scale
    console.page.touch("Start", *console.places((170, 140)))
    console.page.touch("Move", *console.places((200, 160)))
    console.page.touch("Move", *console.places((230, 170)))
    console.page.touch("End")
    assert [one["events"][0]["box"] for one in objects(console)] == [[170, 140, 231, 171]]


def test_a_large_portrait_fits_a_phone_with_its_buttons(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "portrait.png"
    path.write_bytes(encode(np.full((4000, 3000, 3), 120, np.uint8)))
    console.open("interactive", phone=True)
    show(console, path)
    left, top, right, bottom = console.seen(".stage canvas")
    (x0, y0), (x1, y1) = console.places((0, 0), (2999, 3999))
    assert left <= x0 < x1 <= right
    assert top <= y0 < y1 <= bottom <= 844
    inside = "box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight"
    boxes = "[...document.querySelectorAll('.toolbar button')].map(one => one.getBoundingClientRect())"
    assert console.page.evaluate(f"{boxes}.every(box => {inside})")
    assert console.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]


def test_what_is_transparent_is_seen_as_the_gateway_sees_it(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    path.write_bytes(encode(np.full((100, 100, 4), (200, 30, 60, 0), np.uint8)))
    show(console, path)
    [(x, y)] = console.places((50, 50))
    seen = decode(console.page.screenshot())[round(y), round(x), :3].tolist()
    # Without WebGL, as in some browsers without a screen, it is at least told from the ground it lies on.
    assert seen in ([200, 30, 60], [255, 255, 255])


def test_a_slow_click_shows_at_once(console: Console, photo: Path) -> None:
    show(console, photo)
    console.page.network(delay=2)
    begun = time.monotonic()
    console.drag((100, 80), (260, 220))
    console.page.until("maskgate.state().interactive.objects[0]?.pending?.box")
    console.has("Asking click-lite0", ".readout")
    assert time.monotonic() - begun < 1.5
    assert console.page.evaluate("document.querySelector('.readout').getAttribute('role')") == "status"
    assert len(objects(console)) == 1


def test_all_can_be_done_by_keys(console: Console, photo: Path) -> None:
    show(console, photo)
    page = console.page
    page.evaluate("document.querySelector('.stage canvas').focus()")
    page.press("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp", "b")
    page.press(*["ArrowRight"] * 8, *["ArrowDown"] * 6, "b")
    (boxed,) = objects(console)
    x0, y0, x1, y1 = boxed["events"][0]["box"]
    assert (x0 < x1, y0 < y1) == (True, True)
    page.press("ArrowLeft", "ArrowUp", "Enter")
    page.press("ArrowLeft")
    page.press("Enter", alt=True)
    (clicked,) = objects(console)
    assert [list(event) for event in clicked["events"]] == [["box"], ["positive"], ["negative"]]
    told = "(canvas => [canvas.getAttribute('role'), !!canvas.ariaLabel, canvas.tabIndex])"
    assert page.evaluate(f"{told}(document.querySelector('.stage canvas'))") == ["application", True, 0]


def test_work_is_not_lost_without_asking(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((100, 80), (260, 220))
    assert len(objects(console)) == 1
    console.page.dialogs.clear()
    console.open("models")
    assert [dialog["type"] for dialog in console.page.dialogs] == ["beforeunload"]


def test_another_model_is_compared(console: Console, photo: Path) -> None:
    show(console, photo)
    console.drag((100, 80), (260, 220))
    assert len(objects(console)) == 1
    console.page.evaluate("document.querySelector('[aria-label=\"Model to compare with\"]').value = 'grabcut'")
    console.press("Compare")
    console.page.until("maskgate.state().interactive.compared?.model === 'grabcut'")
    assert "grabcut, dashed" in console.text(".section")


def test_two_processes_without_shared_sessions(models: Path, window: Page, photo: Path) -> None:
    with gateway(models, SERVER_WORKERS="2", WORK_THREADS="2") as server:
        console = Console(window, server.address)
        console.open("interactive")
        show(console, photo)
        console.drag((100, 80), (260, 220))
        console.drag((120, 200), alt=True)
        (found,) = objects(console)
        assert [list(event) for event in found["events"]] == [["box"], ["negative"]]
        assert found["found"]["area"] > 0
        console.press("Undo (Ctrl Z)")
        (found,) = objects(console)
        assert [list(event) for event in found["events"]] == [["box"]]
