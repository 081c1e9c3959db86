"""The adapters against a real gateway, called as the tools call them; with the tools' own libraries where they are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client import Client, Prompt
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


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with gateway(ROOT / "model_repository") as process, Client(process.address) as client:
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

    def test_its_sdk_takes_masks_and_polygons(self, client: Client, found: Any) -> None:
        pytest.importorskip("cvat_sdk", reason="cvat-sdk is not installed")
        from cvat_sdk.masks import decode_mask
        from maskgate_cvat.function import Clicks, Waste, create

        clicks = Clicks.of(client, None)
        frame = clicks.preprocess_image(None, Image.fromarray(PIXELS))
        box = (BOX[:2], BOX[2:])
        (shape,) = clicks.detect(None, frame, SimpleNamespace(pos_points=[], neg_points=[], bounding_box=box))
        np.testing.assert_array_equal(decode_mask(shape.points, image_width=160, image_height=120), found.mask)
        waste = Waste.of(client, "waste-lite0")
        assert {label.name for label in waste.spec.labels} == {"general_trashbag", "other_trashbag"}
        for piece in waste.detect(SimpleNamespace(conf_threshold=None), Image.fromarray(PIXELS)):
            assert len(piece.points) >= 6
        with pytest.raises(ValueError, match="no function"):
            create("tea", str(client._http.base_url))
        made = create("clicks", str(client._http.base_url))
        made.client.close()
        assert isinstance(made, Clicks)


class TestNapari:
    def test_boxes_become_labels(self, client: Client, found: Any) -> None:
        x0, y0, x1, y1 = BOX
        corners = np.array([[y0, x0], [y0, x1 - 1], [y1 - 1, x1 - 1], [y1 - 1, x0]], np.float64)
        nothing = np.empty((0, 2))
        labels = segment(PIXELS, [corners], nothing, nothing, str(client._http.base_url))
        np.testing.assert_array_equal(labels > 0, found.mask)
        beside = segment(
            PIXELS, [corners], np.array([[60.0, 80.0]]), np.array([[32.0, 52.0]]), str(client._http.base_url)
        )
        assert (beside[60, 80], beside[32, 52]) == (1, 0)

    def test_its_widget_is_napari_s(self) -> None:
        pytest.importorskip("napari", reason="napari is not installed")
        from maskgate_napari.widget import cut_out

        assert {"image", "boxes", "points"} <= set(cut_out().asdict())


STUDIO = shutil.which("label-studio")
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


@pytest.mark.skipif(STUDIO is None, reason="label-studio is not installed")
def test_label_studio_itself_is_answered(studio: httpx.Client, client: Client, found: Any) -> None:
    server = serve(Backend(client, fetcher(str(studio.base_url), TOKEN)), "127.0.0.1", 0)
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
        np.testing.assert_array_equal(decode(region["value"]["rle"], 120, 160), found.mask)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
