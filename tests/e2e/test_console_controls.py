"""The console's controls beyond the first press: options, tools, compressed DICOM, the PACS, uploads that break off."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.e2e.test_console import models, server, window
from tests.support import towns
from tests.support.browser import Page
from tests.support.console import Console
from tests.support.cts import drawn_chest, slices
from tests.support.dicoms import SERIES, STUDY, compressed, ct, enhanced, lossless_jpeg, saved, zipped
from tests.support.geotiffs import write
from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess, gateway

pytestmark = pytest.mark.e2e
__all__ = ["models", "server", "window"]
OTHER = "1.2.826.0.1.3680043.8.498.9"


@pytest.fixture
def console(server: GatewayProcess, window: Page) -> Iterator[Console]:
    window.complaints.clear()
    yield Console(window, server.address)
    assert not window.complaints


def asked(console: Console, path: str) -> list[str]:
    """Return the queries that the page asked a path with."""
    entries = "performance.getEntriesByType('resource').map(one => one.name)"
    names: list[str] = console.page.evaluate(f"{entries}.filter(name => name.includes({json.dumps(path)}))")
    return [name.partition("?")[2] for name in names]


def settle(console: Console) -> None:
    console.page.until("maskgate.state().interactive.steps === 0")


def say(console: Console, label: str, value: str) -> None:
    """Write into the field of a label."""
    found = (
        f"[...document.querySelectorAll('main .field')].find(one => one.firstChild.textContent === {json.dumps(label)})"
    )
    change = "field.value = value; field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change'))"
    script = f"((field, value) => {{ {change} }})({found}.querySelector('input, select'), {json.dumps(value)})"
    console.page.evaluate(script)


def check(console: Console, label: str) -> None:
    """Tick the box of a label."""
    found = f"[...document.querySelectorAll('main .check')].find(one => one.textContent.includes({json.dumps(label)}))"
    console.page.evaluate(f"{found}.querySelector('input').click()")


def test_a_pair_of_pictures_is_assessed_in_two_presses(console: Console, tmp_path: Path) -> None:
    scene = towns.town()
    # Names that say nothing: the order says which is which.
    for name, pixels in (("1", scene.pre), ("2", scene.post)):
        (tmp_path / f"{name}.png").write_bytes(encode(pixels))
    console.open("damage")
    console.page.choose('[aria-label="Both images"]', tmp_path / "1.png", tmp_path / "2.png")
    console.press("Assess")
    console.page.until("!!maskgate.state().damage.report")
    first = console.text(".file .told")
    console.press("Swap before and after")
    assert console.text(".file .told").split("\n")[:2] == first.split("\n")[:2][::-1]
    assert console.state("damage")["report"] is None


def test_footprints_districts_and_hints_of_a_scene(console: Console, tmp_path: Path) -> None:
    scene, place = towns.town(), towns.place()
    bgr = np.ascontiguousarray(scene.pre[..., ::-1])
    (tmp_path / "pre.tif").write_bytes(write(bgr, place))
    (tmp_path / "post.tif").write_bytes(write(scene.post, place))

    def layer(*boxes: tuple[float, float, float, float]) -> bytes:
        rings = [place.to_lon_lat([(a, b), (c, b), (c, d), (a, d), (a, b)]).tolist() for a, b, c, d in boxes]
        shapes = [{"type": "Polygon", "coordinates": [ring]} for ring in rings]
        features = [
            {"type": "Feature", "id": f"way/{n}", "properties": {"name": "N"}, "geometry": one}
            for n, one in enumerate(shapes)
        ]
        return json.dumps({"type": "FeatureCollection", "features": features}).encode()

    (tmp_path / "footprints.geojson").write_bytes(layer((100, 100, 140, 150), (300, 320, 360, 350)))
    (tmp_path / "districts.geojson").write_bytes(layer((0, 0, 640, 320)))
    console.open("damage")
    for part in ("pre", "post"):
        console.choose(part, tmp_path / f"{part}.tif")
    for part in ("footprints", "districts"):
        console.choose(part, tmp_path / f"{part}.geojson")
    say(console, "Bands", "pre:3,2,1")
    say(console, "Layers in", "source")
    check(console, "Map how sure")
    check(console, "Look twice")
    console.press("Assess")
    console.page.until("!!maskgate.state().damage.report")
    assert "bands=pre%3A3%2C2%2C1" in asked(console, "/v1/damage")[0]
    report = console.state("damage")["report"]
    assert report["seen_twice"]
    assert [one["id"] for one in report["footprints"]] == ["way/0", "way/1"]
    assert "Buildings: 2" in console.text("h2")
    assert "mirror" in console.text(".buildings thead")
    assert "N" in console.text(".table td")
    console.press("Confidence (GeoTIFF)")
    assert console.saved("damage-confidence.tif")[:2] == b"II"
    # The building that the list leads to lies there: a click near the middle of the map, beside the grip, is one on it.
    left, top, right, bottom = console.seen(".map")
    console.page.evaluate("document.querySelector('.buildings [data-building=\"1\"] button').click()")
    time.sleep(0.6)
    console.page.drag((left + 5, top + 5))
    console.page.until("maskgate.state().damage.selected === null")
    # Two clicks in a row would be a double one.
    time.sleep(0.4)
    console.page.drag(((left + right) / 2 + 40, (top + bottom) / 2 + 10))
    console.page.until("maskgate.state().damage.selected === 1")
    console.press("GeoPackage")
    assert console.saved("damage.gpkg")[:6] == b"SQLite"


def test_lines_outlines_and_what_a_click_may_mean(console: Console, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    pixels = noise(300, 400) // 4
    pixels[80:160, 100:200] = 240
    photo.write_bytes(encode(pixels))
    console.open("interactive")
    console.page.until("[...document.querySelectorAll('main select option')].some(one => one.value === 'polygon')")
    console.choose("image", photo)
    console.page.until("!!document.querySelector('.stage canvas').dataset.view")
    settle(console)
    console.drag((150, 120))
    settle(console)
    found = console.state("interactive")["objects"][0]["found"]
    shown = console.page.evaluate("document.querySelectorAll('.candidates button').length")
    assert shown == (len(found["candidates"]) if len(found["candidates"]) > 1 else 0)
    say(console, "Model", "watershed")
    console.drag((110, 90), (140, 110), (190, 150))
    console.has("Now a line beside it", ".readout")
    console.drag((90, 70), (90, 170), (210, 170), (210, 70), button="right")
    settle(console)
    watershed = console.state("interactive")["objects"][1]
    assert watershed["model"] == "watershed"
    assert watershed["found"]["area"] == 80 * 100
    console.drag((120, 150), (130, 150))
    settle(console)
    assert [list(one["strokes"]) for one in console.state("interactive")["objects"][1]["events"]] == [
        ["object", "background"],
        ["object"],
    ]
    say(console, "Model", "polygon")
    for corner in ((300, 100), (350, 100), (350, 150), (300, 100)):
        console.drag(corner)
    settle(console)
    outlined = console.state("interactive")["objects"][2]["found"]
    assert 50 * 50 / 2 <= outlined["area"] <= 51 * 52 / 2
    console.press("COCO")
    (tmp_path / "masks.json").write_bytes(console.saved("masks.json"))
    console.page.choose('[aria-label="COCO annotations"]', tmp_path / "masks.json")
    console.page.until("maskgate.state().interactive.objects.length === 6")
    settle(console)
    assert [list(one["events"][0]) for one in console.state("interactive")["objects"][3:]] == [["mask"]] * 3
    (tmp_path / "none.json").write_text("{}")
    console.page.choose('[aria-label="COCO annotations"]', tmp_path / "none.json")
    console.has("There are no masks for this image", "main [role=alert]")


def drawn(console: Console, path: Path) -> list[float]:
    """Open a CT, and return the values that are drawn."""
    console.open("ct")
    console.choose("image", path)
    console.page.until("!!maskgate.state().ct.volume")
    values: list[float] = console.page.evaluate("[...maskgate.state().ct.volume.values]")
    return values


def test_compressed_dicom_is_drawn_as_its_plain_twin(console: Console, tmp_path: Path) -> None:
    pytest.importorskip("gdcm")
    path = tmp_path / "it.dcm"
    units = np.asarray(drawn_chest() + np.arange(64) % 7, np.int16)
    for syntax in (RLELossless, JPEG2000Lossless, "lossless"):
        signed = syntax == JPEG2000Lossless
        plain = saved(ct(units, signed=signed))
        packed = (
            lossless_jpeg(plain, tmp_path)
            if syntax == "lossless"
            else saved(compressed(ct(units, signed=signed), syntax))
        )
        path.write_bytes(packed)
        assert drawn(console, path) == units.ravel().tolist(), syntax
    frames = [units, units[::-1], units.T]
    path.write_bytes(saved(compressed(enhanced(frames, [(0, 0, 2.0 * n) for n in range(3)]), RLELossless)))
    assert drawn(console, path) == np.stack(frames).ravel().tolist()


def test_of_what_is_not_decoded_here_the_lesions_are_drawn_alone(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "it.dcm"
    files = [saved(compressed(ct(units), JPEGLSLossless)) for units in [drawn_chest()]]
    path.write_bytes(files[0])
    console.open("ct")
    console.choose("image", path)
    console.has("is not decoded here", ".side [role=alert]")
    console.press("Find lesions")
    console.page.until("!!maskgate.state().ct.report")
    console.has("lesions alone", ".readout")
    console.press("DICOM SEG")
    assert console.saved("ct.dcm")[128:132] == b"DICM"
    console.press("Report (DICOM SR)")
    assert console.saved("ct-report.dcm")[128:132] == b"DICM"


def test_one_of_several_series_is_chosen(console: Console, tmp_path: Path) -> None:
    both = [*slices(4, 1), *slices(2, 0, SeriesInstanceUID=OTHER, SeriesNumber=9, BodyPartExamined="LEG")]
    (tmp_path / "two.zip").write_bytes(zipped((f"{n}.dcm", file) for n, file in enumerate(both)))
    console.open("ct")
    console.choose("image", tmp_path / "two.zip")
    console.page.until("maskgate.state().ct.volume?.size[2] === 4")
    console.page.until("document.querySelectorAll('main .field:not([hidden]) option').length > 2")
    series = "[...document.querySelectorAll('main .field select')].find(one => one.options[0].text.includes('4 files'))"
    console.page.evaluate(f"(one => {{ one.selectedIndex = 1; one.dispatchEvent(new Event('change')) }})({series})")
    console.page.until("maskgate.state().ct.volume?.size[2] === 2")
    check(console, "It shows a chest")
    console.press("Find lesions")
    console.page.until("!!maskgate.state().ct.report")
    assert len(console.state("ct")["report"]["slices"]) == 2
    assert f"series={OTHER}" in asked(console, "/v1/ct")[0]
    assert "body_part=chest" in asked(console, "/v1/ct")[0]


@contextmanager
def archive(files: list[bytes]) -> Iterator[tuple[str, list[str]]]:
    """Run a DICOMweb server that has one series and takes whatever is stored; yields its address and what was asked."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(f"GET {self.path}")
            body = (
                b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in files) + b"--x--"
            )
            self.answer(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.append(f"POST {self.path}")
            self.answer(b"")

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/related; boundary=x")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}/dicom-web", told
        served.shutdown()


def large(path: Path) -> None:
    """Write an image that is long work by its size: noise does not compress; without green nothing is found on it."""
    pixels = np.random.default_rng(1).integers(0, 256, (2200, 2200, 3), np.uint8)
    pixels[..., 1] = 0
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


def test_jobs_and_the_pacs(models: Path, window: Page, tmp_path: Path) -> None:
    large(tmp_path / "pre.png")
    (tmp_path / "post.png").write_bytes((tmp_path / "pre.png").read_bytes())
    with (
        archive(slices(3, 1, orientation=(1, 0, 0, 0, 1, 0))) as (url, told),
        gateway(models, JOBS_FOLDER=str(tmp_path / "jobs"), PACS_URL=url) as process,
    ):
        console = Console(window, process.address)
        console.open("ct")
        console.page.evaluate("document.querySelector('.options').open = true")
        say(console, "Study", STUDY)
        console.page.evaluate("document.querySelectorAll('.options .field input')[1].value = " + json.dumps(SERIES))
        console.page.evaluate("document.querySelectorAll('.options .field input')[1].dispatchEvent(new Event('input'))")
        say(console, "Store there", "dicom")
        console.press("Find lesions")
        console.page.until("!!maskgate.state().ct.report")
        assert "lesions alone" in console.text(".readout")
        console.has("Stored in the PACS".upper(), ".side")
        console.press("DICOM SEG")
        console.saved("ct.dcm")
        assert [one.split()[0] for one in told] == ["GET", "POST", "GET"], "what is saved here is not stored again"

        console.open("damage")
        console.page.choose('[aria-label="Both images"]', tmp_path / "pre.png", tmp_path / "post.png")
        console.page.until("maskgate.state().damage.shown")
        window.network(rate=4e6)
        console.press("Assess")
        console.page.until("/Sending [2-9]/.test(document.querySelector('.work .status').textContent)")
        window.network(offline=True)
        console.has("The line broke", ".work .status")
        window.network()
        console.page.until("!!maskgate.state().damage.report")
        (job,) = httpx.get(f"{process.address}/v1/jobs").json()["jobs"]
        assert (job["task"], job["state"], job["done"]) == ("damage", "done", 1)
        asked_for = asked(console, "/v1/jobs/")
        assert len(asked_for) < 6, "it was followed by its events"
        window.network(rate=1e6)
        console.press("Assess")
        console.page.until("/Sending [2-9]/.test(document.querySelector('.work .status').textContent)")
        console.press("Cancel")
        window.network()
        console.page.until("!document.querySelector('.form button.primary').disabled")
        assert len(httpx.get(f"{process.address}/v1/jobs").json()["jobs"]) == 1
        assert console.text(".side [role=alert]").strip() == ""


@pytest.mark.parametrize("view", ["damage", "ct", "waste"])
def test_a_drawn_sample_shows_what_a_task_is(console: Console, view: str) -> None:
    console.open(view)
    console.press("Try with a sample")
    console.page.until(f"!!maskgate.state()[{json.dumps(view)}].report")
    assert console.text(".side [role=alert]").strip() == ""
    assert re.search("Download", console.text("h2"))
