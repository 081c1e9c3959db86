"""The console in a browser: what stands around its views, and the views of tasks, models and service."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support import towns
from tests.support.browser import Page, browser
from tests.support.console import DESK, PHONE, Console
from tests.support.cts import GLASS, SIDE, nifti, series, slices
from tests.support.dicoms import zipped
from tests.support.films import COLUMNS, ROWS, chest, dicom
from tests.support.geotiffs import write
from tests.support.pictures import decode, encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.toy_task.model import write_model
from tests.support.toy_task.spec import TASK
from tests.support.trivial import write_trivial_model
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_interactive import write_trivial_interactive
from tests.support.trivial_radiograph import write_trivial_radiograph
from tests.support.trivial_waste import write_trivial_waste

pytestmark = pytest.mark.e2e
WIDTH, HEIGHT = 400, 300
PIXELS = noise(HEIGHT, WIDTH)
FIRST_VIEW_BYTES = 300_000
FIRST_VIEW_MS, LOADS = 1_500, 5
VIEWS = ("damage", "land", "restore", "interactive", "ct", "radiograph", "waste", TASK.name, "models", "service")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = write_trivial_interactive(tmp_path_factory.mktemp("models"))
    write_trivial_model(models, "bd-lite0")
    write_trivial_radiograph(models, "cxr-a")
    write_trivial_radiograph(models, "cxr-b", shift=0.2)
    write_trivial_waste(models)
    write_trivial_ct(models, "cogseg")
    return write_model(models)


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[GatewayProcess]:
    with gateway(models, MODELS_TASKS=json.dumps([TASK.package])) as process:
        yield process


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def console(server: GatewayProcess, window: Page) -> Iterator[Console]:
    window.complaints.clear()
    yield Console(window, server.address)
    assert not window.complaints


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(encode(PIXELS))
    return path


def test_the_front_leads_to_it_and_every_task_has_a_tab(console: Console) -> None:
    console.open()
    assert httpx.get(f"{console.address}/").headers["location"] == "console/"
    tabs = console.text("nav a").split("\n")
    assert tabs == [
        "Damage",
        "Interactive",
        "CT",
        "Radiograph",
        "Land",
        "Restore",
        "Waste",
        "Pebbles",
        "Models",
        "Service",
    ]
    assert console.page.evaluate("document.title") == "Damage · Maskgate"


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_every_view_fits_its_window(console: Console, phone: bool) -> None:
    for view in VIEWS:
        console.open(view, phone=phone)
        assert console.page.evaluate("innerWidth") == (PHONE if phone else DESK)[0], view
        assert console.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert console.page.evaluate("!!document.querySelector('main h1, main h2')"), view


def test_the_first_view_is_soon_there(console: Console) -> None:
    took = []
    for _ in range(LOADS):
        console.open("models")
        console.page.forget()
        console.open()
        console.page.until("performance.getEntriesByName('shown').length > 0")
        took.append(console.page.evaluate("performance.getEntriesByName('shown')[0].startTime"))
    print(f"shown after {sorted(map(round, took))} ms")
    # The quickest of several: beside the other tests a processor is not always to be had.
    assert min(took) <= FIRST_VIEW_MS


def test_the_first_view_is_light(console: Console) -> None:
    console.open("models")
    entries = "performance.getEntriesByType('resource')"
    console.open()
    console.page.until("!!document.querySelector('.view')")
    sent = console.page.evaluate(f"{entries}.reduce((sum, one) => sum + one.encodedBodySize, 0)")
    assert 0 < sent < FIRST_VIEW_BYTES
    names = console.page.evaluate(f"{entries}.map(one => one.name)")
    assert not [name for name in names if "/vendor/" in name or not name.startswith(console.address)]


def test_the_api_is_shown_without_the_internet(console: Console) -> None:
    console.page.open(f"{console.address}/docs")
    console.page.until("document.querySelectorAll('.opblock').length > 5")
    names = console.page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith(console.address) for name in names if not name.startswith("data:"))


def test_colours_follow_the_system_and_the_button(console: Console) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    console.open("models")
    light = console.page.evaluate(ground)
    console.open("models", scheme="dark")
    dark = console.page.evaluate(ground)
    assert light != dark
    for expected in (dark, light):
        console.page.evaluate("document.querySelectorAll('.tools button')[1].click()")
        assert console.page.evaluate(ground) == expected
    console.page.evaluate("document.querySelectorAll('.tools button')[1].click()")


def test_a_pair_is_assessed_once_listed_and_saved(console: Console, tmp_path: Path) -> None:
    scene = towns.town()
    for name, pixels in (("pre", scene.pre), ("post", scene.post)):
        (tmp_path / f"{name}.png").write_bytes(encode(pixels))
    console.open("damage")
    assert console.page.evaluate("document.querySelector('.form button.primary').disabled")
    console.choose("pre", tmp_path / "pre.png")
    console.choose("post", tmp_path / "post.png")
    console.page.until("maskgate.state().damage.shown")
    console.page.evaluate("for (let n = 0; n < 3; n++) document.querySelector('.form button.primary').click()")
    console.page.until("!!maskgate.state().damage.report")
    asked = "performance.getEntriesByType('resource').filter(one => one.name.includes('/v1/damage')).length"
    assert console.page.evaluate(asked) == 1
    report = console.state("damage")["report"]
    assert f"Buildings: {len(report['regions'])}" in console.text("h2")
    rows = "[...document.querySelectorAll('.buildings tbody tr')]"
    confidences = f"{rows}.map(row => parseFloat(row.children[2].textContent))"
    console.page.evaluate("document.querySelectorAll('.buildings thead button')[2].click()")
    down = console.page.evaluate(confidences)
    console.page.evaluate("document.querySelectorAll('.buildings thead button')[2].click()")
    assert down == sorted(down, reverse=True)
    assert console.page.evaluate(confidences) == sorted(down)
    console.page.evaluate("document.querySelector('.buildings tbody button').click()")
    console.page.until("maskgate.state().damage.selected !== null")
    console.press("PNG label map")
    assert decode(console.saved("damage.png")).shape == scene.pre.shape[:2]
    console.press("Report (JSON)")
    assert json.loads(console.saved("damage.json"))["regions"] == report["regions"]


def test_scenes_lie_on_a_map_with_their_crs(console: Console, tmp_path: Path) -> None:
    (tmp_path / "pre.tif").write_bytes(towns.pre_tif())
    other = towns.in_degrees()
    (tmp_path / "post.tif").write_bytes(write(towns.seen_on(towns.town().post, other), other))
    console.open("damage")
    console.choose("pre", tmp_path / "pre.tif")
    console.choose("post", tmp_path / "post.tif")
    console.page.until("maskgate.state().damage.shown && !!document.querySelector('.map canvas')")
    console.page.until("!!document.querySelector('.ol-scale-line-inner')?.textContent.match(/^(50|100|200) m$/)")
    left, top, right, bottom = console.seen(".map")
    for step in range(100):
        console.page.move((left + right) / 2 + step, (top + bottom) / 2)
        if "EPSG:32615" in console.text(".readout"):
            break
    console.has("° N", ".readout")
    console.press("Assess")
    console.page.until("!!maskgate.state().damage.report")
    assert "EPSG:32615" in console.text(".facts")
    assert "Observed" in console.text(".facts")
    console.press("GeoJSON")
    assert json.loads(console.saved("damage.geojson"))["type"] == "FeatureCollection"


def test_a_ct_is_scrolled_windowed_and_its_files_saved(console: Console, tmp_path: Path) -> None:
    (tmp_path / "series.zip").write_bytes(series())
    console.open("ct")
    console.choose("image", tmp_path / "series.zip")
    console.page.until("!!maskgate.state().ct.volume")
    assert console.page.evaluate("maskgate.state().ct.volume.size") == [SIDE, SIDE, 5]
    console.press("Find lesions")
    console.page.until("!!maskgate.state().ct.report")
    # The slice with most of a lesion is shown; the cross is moved there by hand.
    assert console.state("ct")["at"][2] == 3
    found = "[...maskgate.state().ct.labels].map((label, n) => (label ? n : -1)).filter(n => n >= 0)"
    marked = console.page.evaluate(found)
    assert len(marked) > 0
    values = console.page.evaluate(f"{json.dumps(marked)}.map(n => maskgate.state().ct.volume.values[n])")
    assert values.count(GLASS) >= 4
    x0, y0, x1, y1 = console.seen(".plane.axial canvas")
    console.page.wheel((x0 + x1) / 2, (y0 + y1) / 2, 120)
    console.page.until("maskgate.state().ct.at[2] === 4")
    console.page.evaluate("document.querySelector('.plane.axial canvas').focus()")
    console.page.press("ArrowDown", "ArrowDown", "2")
    console.page.until("maskgate.state().ct.at[2] === 2 && maskgate.state().ct.window.join() === '40,400'")
    console.page.drag(((x0 + x1) / 2, (y0 + y1) / 2), ((x0 + x1) / 2 + 50, (y0 + y1) / 2), button="right")
    console.page.until("maskgate.state().ct.window[1] > 400")
    assert "glass" in console.text(".table")
    console.press("DICOM SEG")
    assert console.saved("ct.dcm")[128:132] == b"DICM"
    console.press("NIfTI")
    assert gzip.decompress(console.saved("ct.nii.gz"))[:4] == (348).to_bytes(4, "little")


def test_a_nifti_is_drawn_as_its_patient_lies(console: Console, tmp_path: Path) -> None:
    # Right, front, head: the array runs against the screen along two axes.
    (tmp_path / "chest.nii.gz").write_bytes(gzip.compress(nifti(np.diag([0.6, 0.7, 2.5, 1.0]))))
    console.open("ct")
    console.choose("image", tmp_path / "chest.nii.gz")
    console.page.until("!!maskgate.state().ct.volume")
    console.press("Find lesions")
    console.page.until("!!maskgate.state().ct.report")
    over = "[...labels].every((label, n) => !label || volume.values[n] > -1000)"
    told = f"(({{ labels, volume }}) => [[...labels].filter(Boolean).length, {over}])(maskgate.state().ct)"
    count, over = console.page.evaluate(told)
    assert count > 0
    assert over


def test_a_single_slice_and_a_compressed_one(console: Console, tmp_path: Path) -> None:
    [slice_] = slices(1, 0)
    (tmp_path / "slice.dcm").write_bytes(slice_)
    console.open("ct")
    console.choose("image", tmp_path / "slice.dcm")
    console.page.until("!!maskgate.state().ct.volume")
    console.press("Find lesions")
    console.page.until("!!maskgate.state().ct.labels")
    (tmp_path / "empty.zip").write_bytes(zipped([("a.txt", b"no image")]))
    console.choose("image", tmp_path / "empty.zip")
    console.has("There is no DICOM image in the zip", ".side [role=alert]")


def test_a_film_is_scored_and_a_photograph_refused(console: Console, photo: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.dcm"
    film.write_bytes(dicom(chest(20)))
    console.open("radiograph")
    console.choose("image", film)
    console.page.until("!!maskgate.state().radiograph.film")
    assert console.page.evaluate("(f => [f.height, f.width])(maskgate.state().radiograph.film)") == [ROWS, COLUMNS]
    console.press("Score")
    console.page.until("!!maskgate.state().radiograph.report")
    assert console.text(".bar .name").split("\n") == ["COVID-19", "NORMAL"] * 3
    assert "cxr-a" in console.text(".model")
    assert "not a diagnosis" in console.text(".notices")
    assert console.text(".tag").split("\n")[1] == "Evidence for COVID-19"
    chosen = "document.querySelector('[aria-label^=\"Class whose\"]')"
    console.page.evaluate(f"{chosen}.value = 'NORMAL'; {chosen}.dispatchEvent(new Event('change'))")
    console.page.until("maskgate.state().radiograph.report.saliency_class === 'NORMAL'")
    console.press("Evidence (PNG)")
    assert decode(console.saved("radiograph-evidence.png")).shape[:2] == (ROWS, COLUMNS)
    console.choose("image", photo)
    console.press("Score")
    console.has("of colour", ".side [role=alert]")
    assert console.text(".bars") == ""


def test_a_task_from_outside_the_tree_is_shown(console: Console, photo: Path) -> None:
    console.open(TASK.name)
    console.choose("image", photo)
    console.press("Run")
    console.page.until(f"!!maskgate.state().{TASK.name}.report")
    rows = "[...document.querySelectorAll('.results tbody tr')].slice(0, 3).map(row => row.firstChild.textContent)"
    assert console.page.evaluate(rows) == ["sand", "gravel", "cobble"]
    assert TASK.title in console.text("h2")


def test_waste_is_shown_with_its_legend_and_counted(console: Console, photo: Path, tmp_path: Path) -> None:
    console.open("waste")
    console.choose("image", photo)
    console.press("Run")
    console.page.until("!!maskgate.state().waste.report")
    report = console.state("waste")["report"]
    assert sum(one["pixels"] for one in report["classes"]) == WIDTH * HEIGHT
    layer = "maskgate.state().waste.layer"
    counted = console.page.evaluate(f"[0, 1, 2].map(value => {layer}.values.filter(one => one === value).length)")
    assert counted == [one["pixels"] for one in report["classes"]]
    alpha = f"{layer}.canvas.getContext('2d').getImageData(0, 0, {WIDTH}, {HEIGHT}).data.filter((_, n) => n % 4 === 3)"
    shown = f"{alpha}.filter(Boolean).length"
    assert console.page.evaluate(shown) == counted[1] + counted[2]
    console.page.evaluate("document.querySelector('.results input[type=checkbox]').click()")
    assert console.page.evaluate(shown) == counted[2]
    console.press("PNG label map")
    saved = decode(console.saved("waste.png"))
    assert [np.count_nonzero(saved == value) for value in range(3)] == counted
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    console.choose("image", broken)
    console.press("Run")
    console.has("cut short", ".side [role=alert]")
    assert console.text(".results") == ""


def test_work_is_told_as_a_status_and_can_be_cancelled(console: Console, photo: Path) -> None:
    console.open("waste")
    console.choose("image", photo)
    console.page.network(delay=3)
    console.press("Run")
    console.page.until("!!document.querySelector('.work .status').textContent")
    assert console.page.evaluate("document.querySelector('.work .status').getAttribute('role')") == "status"
    assert console.text("[role=alert]").strip() == ""
    console.press("Cancel")
    console.page.until("!document.querySelector('.form button.primary').disabled")
    console.page.network()
    assert console.state("waste")["report"] is None
    assert console.text("[role=alert]").strip() == ""


def test_an_error_page_of_a_proxy_and_a_broken_line_are_said_as_what_they_are(console: Console, photo: Path) -> None:
    console.page.stub("/v1/waste", 502, "text/html", "<html><h1>Bad gateway</h1></html>")
    console.open("waste")
    console.choose("image", photo)
    console.press("Run")
    console.has("Answered 502 by something before the gateway", ".side [role=alert]")
    console.page.stub("/v1/waste")
    console.page.network(offline=True)
    console.press("Run")
    console.has("The gateway cannot be reached", ".side [role=alert]")
    console.page.network()
    console.press("Try again")
    console.page.until("!!maskgate.state().waste.report")


def test_cards_are_shown_with_figures_and_licence(console: Console) -> None:
    console.open("models")
    console.press("bd-lite0", "main a")
    console.has("Licence")
    assert console.page.evaluate("location.hash") == "#/models/bd-lite0"
    assert "Intended use" in console.text(".facts")


def test_the_service_is_watched(console: Console) -> None:
    console.open("service")
    console.has("Ready")
    console.page.until("document.querySelector('polyline')?.getAttribute('points')?.split(' ').length > 1")
    requests = console.page.evaluate("parseFloat(document.querySelector('.chart .value').textContent)")
    assert requests > 0


def test_a_key_is_asked_for_and_sent(models: Path, window: Page, photo: Path) -> None:
    digest = f"sha256:{hashlib.sha256(b'secret').hexdigest()}"
    with gateway(models, AUTH_KEYS=json.dumps({"desk": digest})) as server:
        console = Console(window, server.address)
        console.open()
        console.has("Enter a key", "#banner")
        console.press("Enter a key")
        window.until("document.activeElement.id === 'key'")
        for letter in "secret":
            window.press(letter)
        window.press("Enter")
        window.until("!!document.querySelector('.view')")
        console.open("waste")
        console.choose("image", photo)
        console.press("Run")
        window.until("!!maskgate.state().waste.report")
        window.evaluate("sessionStorage.clear()")


def test_a_gateway_without_it(models: Path) -> None:
    with gateway(models, SERVER_CONSOLE="false") as server:
        assert httpx.get(f"{server.address}/").headers["location"] == "docs"
        assert httpx.get(f"{server.address}/console/").status_code == 404
        assert httpx.get(f"{server.address}/docs").status_code == 200


def test_a_large_pair_is_left_as_a_job_where_jobs_are_kept(models: Path, window: Page, tmp_path: Path) -> None:
    # Noise does not compress, so this is long work by its size; without green the model finds nothing on it.
    large = np.random.default_rng(1).integers(0, 256, (2200, 2200, 3), np.uint8)
    large[..., 1] = 0
    for name in ("pre", "post"):
        (tmp_path / f"{name}.png").write_bytes(encode(large))
    with gateway(models, JOBS_FOLDER=str(tmp_path / "jobs")) as server:
        console = Console(window, server.address)
        console.open("damage")
        console.choose("pre", tmp_path / "pre.png")
        console.choose("post", tmp_path / "post.png")
        console.page.until("maskgate.state().damage.shown")
        console.press("Assess")
        window.until("!!maskgate.state().damage.report")
        (job,) = httpx.get(f"{server.address}/v1/jobs").json()["jobs"]
        assert (job["task"], job["state"], job["done"]) == ("damage", "done", 1)
        console.open("service")
        console.press("Forget")
        window.until("!document.querySelector('main table')?.offsetParent")
        assert httpx.get(f"{server.address}/v1/jobs").json()["jobs"] == []
