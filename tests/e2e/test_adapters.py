"""The adapters against a real gateway, called as the tools call them; and from inside the tools where these are."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from ctypes.util import find_library
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client import Client, Dataset, Prompt
from maskgate_cvat import main as interactor
from maskgate_label_studio.backend import Backend
from maskgate_label_studio.brush import decode
from maskgate_label_studio.server import fetcher, serve
from maskgate_napari import segment
from PIL import Image
from shapely import Polygon

from tests.support.pictures import encode, noise
from tests.support.places import ROOT
from tests.support.processes import gateway

pytestmark = pytest.mark.e2e
PIXELS = noise(120, 160).copy()
PIXELS[30:91, 50:111] = (210, 60, 50)
FILE = encode(PIXELS)
BOX = (48, 28, 113, 93)
CONFIG = """<View><Image name="image" value="$image"/>
<{kind} name="out" toName="image"><Label value="Object"/>
<Label value="general_trashbag"/><Label value="other_trashbag"/></{kind}>
<RectangleLabels name="box" toName="image" smart="true"><Label value="Object"/></RectangleLabels></View>"""


TOOLS = Path(os.environ.get("TESTS_TOOLS", "none"))
"""The programs of an environment that has the tools; `make adapters-test` names it."""
XVFB = shutil.which("xvfb-run")
# What Qt loads to open a window; with `offscreen` in its place OpenGL is there at times alone.
WINDOWED = [find_library(name) for name in ("GL", "xcb-icccm", "xcb-keysyms", "xcb-xinerama", "xkbcommon-x11")]
tools = pytest.mark.skipif(not (TOOLS / "python").exists(), reason="`make adapters-test` runs it")


def inside(tool: str, asked: dict[str, Any], home: Path, *before: str) -> dict[str, Any]:
    """Return what `tests.support.inside_tools` tells, run inside a tool."""
    command = [*before, str(TOOLS / "python"), str(ROOT / "tests/support/inside_tools.py"), tool]
    paths = os.pathsep.join(str(ROOT / each) for each in ("clients/adapters", "clients/python/src"))
    # napari keeps settings at home.
    environment = os.environ | {"PYTHONPATH": paths, "HOME": str(home)}
    ran = subprocess.run(
        command, env=environment, input=json.dumps(asked), capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
    # xvfb-run mixes both streams.
    told: dict[str, Any] = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    return told


def read(picture: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(b64decode(picture))))


def address(client: Client) -> str:
    return str(client._http.base_url)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(FILE)
    return path


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    models = tmp_path_factory.mktemp("models")
    for name in ("click-lite0", "click-lite0-encoder", "waste-lite0"):
        shutil.copytree(ROOT / "model_repository" / name, models / name)
    with gateway(models) as process, Client(process.address) as client:
        yield client


@pytest.fixture(scope="module")
def found(client: Client) -> Any:
    return client.segment(FILE, Prompt(box=BOX)).objects[0]


@pytest.fixture(scope="module")
def backend(client: Client) -> Iterator[httpx.Client]:
    server = serve(Backend(client, {"/data/upload/1.png": FILE}.__getitem__), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_address[1]}", timeout=60) as asked:
            yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def task(kind: str, drawn: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return what Label Studio 1.23 posts to /predict."""
    body: dict[str, Any] = {
        "tasks": [{"id": 1, "data": {"image": "/data/upload/1.png"}}],
        "project": "1.1700000000",
        "label_config": CONFIG.format(kind=kind),
        "params": {"login": None, "password": None, "context": drawn and {"result": drawn}},
    }
    return body


def rectangle() -> dict[str, Any]:
    x0, y0, x1, y1 = BOX
    place = {"x": x0 / 1.6, "y": y0 / 1.2, "width": (x1 - x0) / 1.6, "height": (y1 - y0) / 1.2, "rotation": 0}
    return {
        "id": "r1",
        "from_name": "box",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 160,
        "original_height": 120,
        "value": {**place, "rectanglelabels": ["Object"]},
    }


class TestLabelStudio:
    def test_it_is_greeted_and_set_up(self, backend: httpx.Client) -> None:
        assert backend.get("/health").json()["status"] == "UP"
        setup = {"project": "1.1", "schema": CONFIG, "hostname": "http://127.0.0.1", "access_token": "t"}
        version = backend.post("/setup", json=setup).json()["model_version"]
        assert backend.get("/versions").json() == {"versions": [version]}
        assert backend.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 200
        assert backend.get("/other").status_code == 404

    def test_a_rectangle_becomes_a_brush(self, backend: httpx.Client, found: Any) -> None:
        (answer,) = backend.post("/predict", json=task("BrushLabels", [rectangle()])).json()["results"]
        (region,) = answer["result"]
        assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "out", "image")
        assert region["value"]["brushlabels"] == ["Object"]
        np.testing.assert_array_equal(decode(region["value"]["rle"], 120, 160), found.mask)
        assert answer["score"] == found.score

    def test_or_polygons_in_percent(self, backend: httpx.Client, found: Any) -> None:
        (answer,) = backend.post("/predict", json=task("PolygonLabels", [rectangle()])).json()["results"]
        shapes = [Polygon([(1.6 * x, 1.2 * y) for x, y in each["value"]["points"]]) for each in answer["result"]]
        assert all(shape.is_valid for shape in shapes)
        assert sum(shape.area for shape in shapes) == pytest.approx(found.area, rel=0.05)

    def test_without_a_prompt_waste_is_looked_for(self, backend: httpx.Client) -> None:
        for kind in ("PolygonLabels", "BrushLabels"):
            (answer,) = backend.post("/predict", json=task(kind)).json()["results"]
            assert all(region["type"] == "polygonlabels" for region in answer["result"])

    @pytest.mark.parametrize(
        ("change", "status"),
        [({"label_config": "<View/>"}, 400), ({"tasks": [{"data": {}}]}, 400), ({"tasks": 1}, 400)],
    )
    def test_what_cannot_be_answered_is_said(self, backend: httpx.Client, change: dict[str, Any], status: int) -> None:
        answer = backend.post("/predict", json=task("BrushLabels", [rectangle()]) | change)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])


def interact(client: Client, **asked: Any) -> tuple[int, dict[str, Any]]:
    """Call the interactor as nuclio does."""
    context = SimpleNamespace(user_data=SimpleNamespace(client=client), Response=lambda **given: given)
    answer = interactor.handler(context, SimpleNamespace(body=json.dumps(asked).encode()))
    return answer["status_code"], json.loads(answer["body"])


class TestCvat:
    IMAGE = b64encode(FILE).decode()

    def test_the_editor_is_answered_with_mask_and_outline(self, client: Client, found: Any) -> None:
        x0, y0, x1, y1 = BOX
        asked = {"image": self.IMAGE, "pos_points": [], "neg_points": [], "obj_bbox": [[x0, y0], [x1, y1]]}
        status, answer = interact(client, **asked)
        mask = np.array(answer["mask"], np.uint8)
        assert (status, mask.shape, set(np.unique(mask))) == (200, (120, 160), {0, 255})
        assert (mask > 0).sum() == pytest.approx(found.area, rel=0.05)
        assert Polygon(answer["points"]).is_valid
        status, clicked = interact(client, **asked | {"pos_points": [[80.7, 60.2]], "neg_points": [[52.5, 32.5]]})
        assert status == 200
        assert (clicked["mask"][60][80], clicked["mask"][32][52]) == (255, 0)

    @pytest.mark.parametrize(
        "asked", [{}, {"image": "?"}, {"image": IMAGE}, {"image": IMAGE, "pos_points": [[9000, 1]]}]
    )
    def test_what_cannot_be_answered_is_said(self, client: Client, asked: dict[str, Any]) -> None:
        status, answer = interact(client, **asked)
        assert (status, list(answer)) == (400, ["error"])

    @tools
    def test_its_own_drivers_run_the_functions(self, client: Client, found: Any, photo: Path) -> None:
        x0, y0, x1, y1 = BOX
        prompts: list[dict[str, Any]] = [
            {"obj_bbox": [[x0, y0], [x1, y1]]},
            {"pos_points": [[80.7, 60.2]], "neg_points": [[52.5, 32.5]], "obj_bbox": [[x0, y0], [x1, y1]]},
            {"neg_points": [[52.5, 32.5]]},
        ]
        function = ROOT / "clients/adapters/maskgate_cvat/function.py"
        asked = {"url": address(client), "image": str(photo), "function": str(function), "prompts": prompts}
        told = inside("cvat", asked, photo.parent)
        assert told["fields"] == {"min_pos_points": 0, "min_neg_points": 0, "startswith_box_optional": True}
        assert told["kinds"] == ["mask", "mask"]
        [boxed], [clicked], nothing = ([read(mask) > 0 for mask in masks] for masks in told["masks"])
        assert nothing == []
        np.testing.assert_array_equal(boxed, found.mask)
        assert (clicked[60, 80], clicked[32, 52]) == (True, False)
        assert set(told["labels"]) == {"general_trashbag", "other_trashbag"}
        for shape in told["shapes"]:
            assert shape["label"] in told["labels"].values()
            assert len(shape["points"]) >= 6


class TestNapari:
    def test_boxes_become_labels(self, client: Client, found: Any) -> None:
        x0, y0, x1, y1 = BOX
        corners = np.array([[y0, x0], [y0, x1 - 1], [y1 - 1, x1 - 1], [y1 - 1, x0]], np.float64)
        nothing = np.empty((0, 2))
        labels = segment(PIXELS, [corners], nothing, nothing, address(client))
        np.testing.assert_array_equal(labels > 0, found.mask)
        beside = segment(PIXELS, [corners], np.array([[60.0, 80.0]]), np.array([[32.0, 52.0]]), address(client))
        assert (beside[60, 80], beside[32, 52]) == (1, 0)

    @tools
    @pytest.mark.skipif(None in (XVFB, *WINDOWED), reason="no window for napari: .ci/run adapters-test installs xvfb")
    def test_its_widget_runs_in_a_window(self, client: Client, found: Any, photo: Path) -> None:
        x0, y0, x1, y1 = BOX
        corners = [[y0, x0], [y0, x1 - 1], [y1 - 1, x1 - 1], [y1 - 1, x0]]
        manifest = ROOT / "clients/adapters/maskgate_napari/napari.yaml"
        asked = {"url": address(client), "image": str(photo), "manifest": str(manifest), "corners": corners}
        told = inside("napari", asked | {"points": [[60, 80]], "scale": 0.25}, photo.parent, str(XVFB), "-a")
        assert told["names"] == ["photo", "boxes", "points", "objects of photo"]
        assert (told["layer"], told["scale"]) == ("Labels", [0.25, 0.25])
        labels = read(told["labels"])
        assert set(np.unique(labels)) == {0, 1}
        clicked = client.segment(FILE, Prompt(box=BOX, positive=[(80, 60)])).objects[0]
        np.testing.assert_array_equal(labels > 0, clicked.mask)


@tools
def test_labelme_opens_what_was_exported(client: Client, photo: Path) -> None:
    report = client.segment(FILE, Prompt(box=BOX), Prompt(box=(5, 5, 40, 25)))
    dataset = Dataset()
    dataset.add(photo, report, labels=["square", "ground"])
    [file] = dataset.save(photo.parent / "labelme", "labelme")
    told = inside("labelme", {"file": str(file)}, photo.parent)
    assert {"square"} <= set(told["labels"]) <= {"square", "ground"}
    # LabelMe draws the border of polygons too.
    assert (read(told["instances"]) == 1).sum() == pytest.approx(report.objects[0].area, rel=0.1)


STUDIO = TOOLS / "label-studio"
TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[httpx.Client]:
    """Yield a client of a Label Studio that was started for this."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings = {
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "data"),
        "LABEL_STUDIO_USERNAME": "a@example.org",
        "LABEL_STUDIO_PASSWORD": "secret123",
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "FEATURE_FLAGS_OFFLINE": "true",
        "SSRF_PROTECTION_ENABLED": "false",
        "ML_BLOCK_LOCAL_IP": "false",
    }
    # Paths of this project are none of the other program's.
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(STUDIO), "start", "--host", address, "--port", str(port), "--no-browser"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=own | settings, stdout=log, stderr=log, start_new_session=True)
    try:
        headers = {"Authorization": f"Token {TOKEN}"}
        with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
            deadline = time.monotonic() + 600
            while True:
                with suppress(httpx.TransportError):
                    if client.get("/health").status_code == 200:
                        break
                assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(2)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@tools
def test_label_studio_itself_is_answered(studio: httpx.Client, client: Client, found: Any, tmp_path: Path) -> None:
    ours = Backend(client, fetcher(str(studio.base_url), TOKEN))
    server = serve(ours, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        project = studio.post(
            "/api/projects/", json={"title": "Photos", "label_config": CONFIG.format(kind="BrushLabels")}
        )
        number = project.json()["id"]
        files = {"file": ("photo.png", FILE, "image/png")}
        assert studio.post(f"/api/projects/{number}/import", files=files).status_code == 201
        address = f"http://127.0.0.1:{server.server_address[1]}"
        ask = {"project": number, "url": address, "title": "maskgate", "is_interactive": True}
        backend = studio.post("/api/ml/", json=ask)
        assert backend.status_code == 201, backend.text
        tasks = studio.get("/api/tasks/", params={"project": number}).json()
        task_id = (tasks["tasks"] if isinstance(tasks, dict) else tasks)[0]["id"]
        drawn = {"task": task_id, "context": {"result": [rectangle()]}}
        answer = studio.post(f"/api/ml/{backend.json()['id']}/interactive-annotating", json=drawn)
        (region,) = answer.json()["data"]["result"]
        asked = {"rle": region["value"]["rle"], "height": 120, "width": 160}
        np.testing.assert_array_equal(read(inside("label_studio", asked, tmp_path)["mask"]) > 0, found.mask)
        # Accepted, and predictions of all tasks at once.
        saved = studio.post(f"/api/tasks/{task_id}/annotations/", json={"result": [region]})
        assert saved.status_code == 201, saved.text
        everything = {"selectedItems": {"all": True, "excluded": []}}
        asking = {"id": "retrieve_tasks_predictions", "project": number}
        assert studio.post("/api/dm/actions", params=asking, json=everything).status_code == 200
        [prediction] = studio.get("/api/predictions/", params={"task": task_id}).json()
        assert prediction["model_version"] == ours.setup({})["model_version"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
