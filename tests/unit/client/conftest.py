"""A gateway small enough to read: it answers every call at once and remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client import AsyncClient, Client, Retry
from PIL import Image

LABELS = np.array([[0, 0, 1], [0, 4, 4]], np.uint8)
PALETTE = np.array([(0, 0, 0), (0, 128, 0), (0, 0, 255), (255, 165, 0), (255, 0, 0)], np.uint8)
REPORT: dict[str, Any] = {
    "model": "bd-siamunet",
    "width": 3,
    "height": 2,
    "classes": [
        {"value": 0, "name": "background", "colour": [0, 0, 0], "pixels": 3, "share": 0.5},
        {"value": 1, "name": "no-damage", "colour": [0, 128, 0], "pixels": 1, "share": 0.166667},
        {"value": 4, "name": "destroyed", "colour": [255, 0, 0], "pixels": 2, "share": 0.333333},
    ],
    "regions": [
        {
            "polygon": [[1, 1], [3, 1], [3, 2], [1, 2]],
            "holes": [],
            "class": 4,
            "name": "destroyed",
            "area": 2,
            "confidence": 0.75,
            "box": [1, 1, 3, 2],
        }
    ],
    "notices": ["post image: alpha dropped"],
    "provenance": {
        "model": "bd-siamunet",
        "version": 1,
        "digest": "sha256:00",
        "engine": "embedded",
        "input_digest": "sha256:11",
        "gateway": "0.1.0",
    },
}
MASK = np.array([[0, 0, 1, 1], [0, 1, 1, 0], [0, 1, 1, 1]], bool)
OBJECT: dict[str, Any] = {
    "value": 1,
    "rle": {"size": [3, 4], "counts": "461K"},
    "polygons": [{"polygon": [[1, 1], [2, 0], [3, 0], [3, 2], [1, 2]], "holes": [[[3, 1]]], "area": 7}],
    "box": [1, 0, 4, 3],
    "area": 7,
    "score": 0.75,
    "threshold": 0.5,
    "crop": [-1, -2, 6, 5],
    "notices": ["the inside click was taken at (2, 1)"],
}
MASKS: dict[str, Any] = {
    "model": "click-lite0",
    "width": 4,
    "height": 3,
    "objects": [OBJECT],
    "notices": ["alpha channel dropped"],
    "provenance": REPORT["provenance"] | {"model": "click-lite0", "encoder_digest": "sha256:22"},
}
SESSION: dict[str, Any] = {
    "id": "s-1",
    "expires": "2030-01-01T00:00:00Z",
    "revision": 0,
    "width": 4,
    "height": 3,
    "image": "sha256:11",
    "model": "click-lite0",
    "version": 1,
    "digest": "sha256:00",
    "threshold": None,
    "objects": [],
    "clicks": 0,
    "notices": ["alpha channel dropped"],
    "answer": None,
}
CT: dict[str, Any] = {
    "model": "cogseg",
    "width": 4,
    "height": 3,
    "spacing": {"rows": 0.7, "columns": 0.6, "slices": 2.5},
    "classes": [{"value": 1, "name": "ground-glass", "colour": [255, 0, 0], "pixels": 5, "share": 0.208333}],
    "lesions": [{"value": 1, "name": "ground-glass", "voxels": 5, "imaged_share": 0.25, "volume_ml": 0.00525}],
    "slices": [
        {
            "number": 0,
            "instance": "1.2.3",
            "position": [-160.0, -160.0, 2.5],
            "imaged_pixels": 10,
            "lesions": [{"value": 1, "pixels": 5, "imaged_share": 0.5, "area_mm2": 2.1}],
        },
        {
            "number": 1,
            "imaged_pixels": 10,
            "lesions": [{"value": 1, "pixels": 0, "imaged_share": 0.0, "area_mm2": 0.0}],
        },
    ],
    "notices": ["a research demonstration, not a diagnosis"],
    "provenance": REPORT["provenance"] | {"model": "cogseg"},
}
SCENE: dict[str, Any] = {
    "model": "bd-siamunet",
    "width": 3,
    "height": 2,
    "geography": {
        "crs": "EPSG:26915",
        "transform": [0.6, 0, 366642.6, 0, -0.6, 4104511.2],
        "footprint": {"type": "Polygon", "coordinates": [[[-94.5, 37.07]]]},
    },
    "alignment": {"asked": "auto", "overlap": 0.5, "shift": [1.2, -0.7], "confidence": 0.67, "corrected": True},
    "observed_share": 0.5,
    "featureless_share": 0.1,
    "rasters": {"surface": {"known_share": 0.75}},
    "classes": [
        entry | {"area_m2": 2.5, "buildings": entry["value"] // 4, "uncertain": 0} for entry in REPORT["classes"]
    ],
    "districts": [
        {"id": "n", "name": "North", "classes": [{"value": 4, "name": "destroyed", "buildings": 1, "area_m2": 0.72}]},
        {"id": None, "name": None, "classes": [{"value": 4, "name": "destroyed", "buildings": 0, "area_m2": 0.0}]},
    ],
    "regions": [
        entry
        | {"area_m2": 0.72, "district": "n", "scores": {"destroyed": 1.0}, "uncertain": False, "disagreement": 0.04}
        for entry in REPORT["regions"]
    ],
    "footprints": [
        {
            "id": "way/1",
            "class": 4,
            "name": "destroyed",
            "confidence": 0.75,
            "scores": {"no-damage": 0.25, "destroyed": 0.75},
            "uncertain": True,
            "disagreement": None,
            "observed_share": 1.0,
            "not_assessed": False,
            "pixels": 2,
            "area_m2": 0.72,
            "box": [1, 1, 3, 2],
            "district": "n",
            "properties": {"building": "school"},
        }
    ],
    "notices": ["post image moved by (-1.20, 0.70) pixels onto what the pre image shows"],
    "provenance": REPORT["provenance"],
}
FEATURES: dict[str, Any] = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": 1,
            "properties": {"class": "destroyed", "value": 4, "confidence": 0.75, "area_m2": 0.72, "pixels": 2},
            "geometry": {"type": "Polygon", "coordinates": [[[-94.5, 37], [-94.4, 37], [-94.4, 37.1], [-94.5, 37]]]},
        }
    ],
}
RADIOGRAPH: dict[str, Any] = {
    "scores": {"COVID-19": 0.25, "NORMAL": 0.75},
    "label": "NORMAL",
    "threshold": 0.5,
    "model": "ensemble",
    "width": 512,
    "height": 400,
    "models": [
        {
            "scores": {"COVID-19": 0.1, "NORMAL": 0.9},
            "label": "NORMAL",
            "threshold": 0.5,
            "provenance": REPORT["provenance"] | {"model": "cxr-densenet201"},
        },
        {
            "scores": {"COVID-19": 0.4, "NORMAL": 0.6},
            "label": "COVID-19",
            "threshold": 0.3,
            "provenance": REPORT["provenance"] | {"model": "cxr-inceptionv3"},
        },
    ],
    "notices": ["a research demonstration, not a diagnosis"],
    "provenance": REPORT["provenance"] | {"model": "ensemble", "version": None, "digest": None},
    "saliency_class": None,
}
WASTE: dict[str, Any] = {
    "model": "waste-lite0",
    "width": 3,
    "height": 2,
    "classes": [
        {"value": 0, "name": "background", "colour": [10, 10, 10], "pixels": 3, "share": 0.5},
        {"value": 1, "name": "rigid_plastic", "colour": [230, 5, 5], "pixels": 0, "share": 0.0},
        {"value": 2, "name": "cardboard", "colour": [4, 200, 3], "pixels": 3, "share": 0.5},
    ],
    "regions": [REPORT["regions"][0] | {"class": 2, "name": "cardboard"}],
    "notices": ["alpha channel dropped"],
    "provenance": REPORT["provenance"] | {"model": "waste-lite0"},
}
LAND: dict[str, Any] = {
    **WASTE,
    "model": "land-lite0",
    "classes": [
        {"value": 0, "name": "open ground", "colour": [0, 0, 0], "pixels": 3, "share": 0.5, "area_m2": 0.75},
        {"value": 2, "name": "road", "colour": [255, 255, 0], "pixels": 3, "share": 0.5, "area_m2": 0.75},
    ],
    "resolution": [0.5, 0.5],
    "observed_share": 1.0,
    "roads": {"length_m": 120.5, "near_length_m": 20.0},
    "near": {"near": 20.0, "near_class": "destroyed", "buildings": 1, "sent": 2},
    "districts": [
        {"id": 0, "name": "North", "length_m": 120.5, "near_length_m": 20.0},
        {"id": None, "name": None, "length_m": 0.0, "near_length_m": 0.0},
    ],
}
RESTORE: dict[str, Any] = {
    "model": "restore-gan",
    "width": 3,
    "height": 2,
    "observed_share": 1.0,
    "covered_share": 0.5,
    "invented_share": 0.25,
    "notices": ["25.0% of the image is invented by restore-gan: clouds hid it"],
    "provenance": REPORT["provenance"] | {"model": "restore-gan"},
}
TASKS: dict[str, Any] = {
    "tasks": [
        {
            "name": "rust",
            "title": "Rust on a photograph",
            "default_model": "rust-1",
            "parts": [
                {"name": "image", "description": "PNG", "required": True, "media_types": ["image/png", "image/jpeg"]},
                {"name": "area", "description": "GeoJSON", "required": False, "media_types": ["application/geo+json"]},
            ],
            "formats": ["image/png", "application/json", "image/tiff"],
            "answer": "label map",
        },
        {
            "name": "breed",
            "title": "Breed of a dog",
            "default_model": "dogs",
            "parts": [{"name": "image", "description": "PNG", "required": True, "media_types": ["image/png"]}],
            "formats": ["application/json"],
            "answer": "scores",
        },
        {
            "name": "interactive",
            "title": "Objects by clicks",
            "default_model": "click-lite0",
            "parts": [
                {"name": "image", "description": "PNG", "required": True, "media_types": ["image/png"]},
                {"name": "prompt", "description": "JSON", "required": True, "media_types": ["application/json"]},
            ],
            "formats": ["image/png", "application/json"],
            "answer": "masks",
        },
        {
            "name": "ct",
            "title": "Lesions in CT",
            "default_model": "cogseg",
            "parts": [
                {"name": "image", "description": "DICOM", "required": True, "media_types": ["application/dicom"]}
            ],
            "formats": ["image/png", "application/json"],
            "answer": "label map",
        },
        {
            "name": "count",
            "title": "How many there are",
            "default_model": "counter",
            "parts": [{"name": "image", "description": "PNG", "required": True, "media_types": []}],
            "formats": ["application/json"],
            "answer": "number",
        },
        {
            "name": "waste",
            "title": "Waste on photographs",
            "default_model": "waste-lite0",
            "parts": [{"name": "image", "description": "PNG", "required": True, "media_types": ["image/png"]}],
            "formats": ["image/png", "application/json"],
            "answer": "label map",
        },
    ]
}
"""Tasks that a gateway of another day has, most of which this client does not know by name."""
RESULT = b"an answer"
"""What each item of a job is answered with."""
HEADERS = {
    "x-request-id": "r-1",
    "server-timing": "decode;dur=12.5, infer;dur=80",
    "maskgate-model": "bd-siamunet",
    "maskgate-version": "1",
    "maskgate-digest": "sha256:00",
}


def label_map_png() -> bytes:
    """Return `LABELS` as a gateway sends it: indexed, in as few bits as the classes need."""
    picture = Image.fromarray(LABELS)
    picture.putpalette(PALETTE.tobytes())
    buffer = BytesIO()
    picture.save(buffer, "PNG", bits=4)
    return buffer.getvalue()


def problem(status: int, code: str, *, retry_after: int | None = None, detail: str = "It was.") -> httpx.Response:
    """Return a problem document as the gateway writes it."""
    document = {"title": f"The {code}", "status": status, "detail": detail, "code": code, "request_id": "r-1"}
    headers = {"content-type": "application/problem+json"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return httpx.Response(status, headers=headers, content=json.dumps(document))


@dataclass
class FakeGateway:
    """Answers like the real one; `instead` may answer first, for what goes wrong."""

    requests: list[httpx.Request] = field(default_factory=list)
    instead: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    clicked: list[int] = field(default_factory=list)
    """The object of each click of the one session."""
    left: int = 0
    """Items of the one job."""

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.instead(request) or self._usual(request)

    def _usual(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v1/interactive"):
            return self._interactive(request)
        if request.url.path.startswith(("/v1/jobs", "/v1/uploads")):
            return self._jobs(request)
        model = {"name": "bd-siamunet", "state": "ready", "task": "damage", "version": 1, "digest": "sha256:00"}
        broken = {"name": "broken", "state": "failed", "reason": "no card.json"}
        match request.url.path:
            case "/readyz":
                return httpx.Response(200, json={"ready": True})
            case "/v1/models":
                return httpx.Response(200, json={"models": [model, broken]})
            case "/v1/models/bd-siamunet":
                return httpx.Response(200, json=model | {"card": {"licence": "research"}})
            case "/v1/tasks":
                return httpx.Response(200, json=TASKS)
            case "/v1/rust" if request.headers["accept"] != "application/json":
                kind = request.headers["accept"]
                return httpx.Response(200, headers={"content-type": kind}, content=kind.encode())
            case "/v1/rust":
                drawn = {name: b64encode(label_map_png()).decode() for name in request.url.params.get_list("include")}
                return httpx.Response(200, json=WASTE | {"model": "rust-1", "pictures": drawn})
            case "/v1/breed":
                lacking = {"models", "saliency_class"}
                return httpx.Response(200, json={key: RADIOGRAPH[key] for key in RADIOGRAPH.keys() - lacking})
            case "/v1/count":
                return httpx.Response(200, json={"count": 7})
            case "/v1/damage" if "align" in request.url.params:
                return self._scene(request)
            case "/v1/damage" if request.headers["accept"] == "application/json":
                pictures = {"label_map": label_map_png(), "overlay": b"overlay"}
                wanted = request.url.params.get_list("include")
                encoded = {name: b64encode(pictures[name]).decode() for name in wanted}
                return httpx.Response(200, headers=HEADERS, json=REPORT | {"pictures": encoded})
            case "/v1/damage":
                content = b"overlay" if request.url.params.get("overlay") else label_map_png()
                return httpx.Response(200, headers=HEADERS | {"content-type": "image/png"}, content=content)
            case "/v1/ct" if request.headers["accept"] == "application/json":
                wanted = request.url.params.get_list("include")
                files = {name: b64encode(name.encode()).decode() for name in wanted}
                kept = [{"form": "dicom", "series": "1.2.4", "instance": "1.2.4.5"}]
                stored = kept if "store" in request.url.params else []
                return httpx.Response(200, headers=HEADERS, json=CT | {"files": files, "stored": stored})
            case "/v1/ct":
                kind = request.headers["accept"]
                return httpx.Response(200, headers=HEADERS | {"content-type": kind}, content=f"{kind}".encode())
            case "/v1/radiograph":
                wanted = request.url.params.get_list("include")
                drawn = {name: b64encode(name.encode()).decode() for name in wanted}
                shown = request.url.params.get("saliency_class", "NORMAL") if wanted else None
                return httpx.Response(200, json=RADIOGRAPH | {"pictures": drawn, "saliency_class": shown})
            case "/v1/land" if request.headers["accept"] == "image/tiff":
                return httpx.Response(200, headers=HEADERS | {"content-type": "image/tiff"}, content=b"II*")
            case "/v1/land":
                drawn = {name: b64encode(name.encode()).decode() for name in request.url.params.get_list("include")}
                return httpx.Response(200, headers=HEADERS, json=LAND | {"pictures": drawn})
            case "/v1/restore" if request.headers["accept"] == "image/tiff":
                return httpx.Response(200, headers=HEADERS | {"content-type": "image/tiff"}, content=b"II*")
            case "/v1/restore":
                drawn = {name: b64encode(name.encode()).decode() for name in request.url.params.get_list("include")}
                return httpx.Response(200, headers=HEADERS, json=RESTORE | {"pictures": drawn})
            case "/v1/waste":
                pictures = {"label_map": label_map_png(), "overlay": b"overlay"}
                wanted = request.url.params.get_list("include")
                drawn = {name: b64encode(pictures[name]).decode() for name in wanted}
                return httpx.Response(200, headers=HEADERS, json=WASTE | {"pictures": drawn})
        return problem(404, "route-not-found")

    def _scene(self, request: httpx.Request) -> httpx.Response:
        kind = request.headers["accept"]
        if kind != "application/json":
            return httpx.Response(200, headers=HEADERS | {"content-type": kind}, content=kind.encode())
        wanted = request.url.params.get_list("include")
        contents = {name: name.encode() for name in wanted} | {"geojson": json.dumps(FEATURES).encode()}
        parts: dict[str, dict[str, str]] = {"pictures": {}, "files": {}}
        for name in wanted:
            where = "pictures" if name in ("label_map", "overlay", "quicklook") else "files"
            parts[where][name] = b64encode(contents[name]).decode()
        return httpx.Response(200, headers=HEADERS, json=SCENE | parts)

    def _jobs(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.split("/")[2:]:
            case "POST", ["uploads"]:
                return httpx.Response(201, headers={"location": "/v1/uploads/u-1"})
            case "PATCH", ["uploads", _]:
                ends = int(request.headers["upload-offset"]) + len(request.read())
                return httpx.Response(204, headers={"upload-offset": str(ends)})
            case "POST", ["jobs"]:
                self.left = len(json.loads(request.read())["items"])
                return httpx.Response(202, json=self._job())
            case "GET", ["jobs"]:
                return httpx.Response(200, json={"jobs": [self._job()]})
            case "GET", ["jobs", "j-1"]:
                return httpx.Response(200, json=self._job() | {"items": self._items(), "more": None})
            case "GET", ["jobs", "j-1", "results", _]:
                return httpx.Response(200, content=RESULT)
            case "DELETE", ["jobs", "j-1"]:
                return httpx.Response(204)
        return problem(404, "job-not-found")

    def _job(self) -> dict[str, Any]:
        counts = dict.fromkeys(("waiting", "running", "failed", "cancelled"), 0)
        times = {"created": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:01Z", "expires": "2026-01-08T00:00:00Z"}
        return {"id": "j-1", "task": "waste", "state": "done", "total": self.left, "done": self.left, **counts, **times}

    def _items(self) -> list[dict[str, Any]]:
        digest = f"sha256:{sha256(RESULT).hexdigest()}"
        told = {"media_type": "image/png", "bytes": len(RESULT), "digest": digest, "headers": {}}
        nothing = {"name": "", "state": "done", "tries": 1, "problem": None, "progress": None}
        return [
            {"number": number, "result": {"url": f"/v1/jobs/j-1/results/{number}", **told}, **nothing}
            for number in range(self.left)
        ]

    def _interactive(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.removeprefix("/v1/interactive").split("/")[1:]:
            case ("POST", []) | ("GET", ["sessions", "s-1", "mask"]):
                wanted = request.url.params.get_list("include")
                pictures = {name: b64encode(name.encode()).decode() for name in wanted if name != "coco"}
                coco = {"images": [{"id": 1}]} if "coco" in wanted else None
                return httpx.Response(200, headers=HEADERS, json=MASKS | {"pictures": pictures, "coco": coco})
            case "POST", ["sessions"]:
                return httpx.Response(201, headers={"location": "/v1/interactive/sessions/s-1"}, json=SESSION)
            case "POST", ["sessions", "s-1", "clicks"]:
                last = self.clicked[-1] if self.clicked else 1
                which = json.loads(request.read()).get("object", last)
                self.clicked.append(max(self.clicked, default=0) + 1 if which == "new" else which)
                return self._clicked_last()
            case "DELETE", ["sessions", "s-1", "clicks", "last"]:
                self.clicked.pop()
                return self._clicked_last()
            case "DELETE", ["sessions", "s-1", "clicks"]:
                self.clicked.clear()
                return httpx.Response(200, json=SESSION)
            case "GET", ["sessions", "s-1"]:
                return httpx.Response(200, json=SESSION | {"clicks": len(self.clicked)})
            case "DELETE", ["sessions", "s-1"]:
                return httpx.Response(204)
        return problem(404, "session-not-found")

    def _clicked_last(self) -> httpx.Response:
        headers = {"maskgate-object": str(self.clicked[-1])} if self.clicked else {}
        return httpx.Response(200, headers=headers, json=MASKS | {"objects": [OBJECT] if self.clicked else []})


Ask = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, gateway: FakeGateway) -> Ask:
    """Call a method by name on either client."""

    def blocking(method: str, *arguments: Any, key: str | None = None, retry: Retry | None = None, **more: Any) -> Any:
        with Client(transport=gateway.transport, key=key, retry=retry) as client:
            return getattr(client, method)(*arguments, **more)

    def awaited(method: str, *arguments: Any, key: str | None = None, retry: Retry | None = None, **more: Any) -> Any:
        async def call() -> Any:
            async with AsyncClient(transport=gateway.transport, key=key, retry=retry) as client:
                return await getattr(client, method)(*arguments, **more)

        return asyncio.run(call())

    return blocking if request.param == "sync" else awaited


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()
