"""What the gateway says of itself, and how it refuses."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.support.app_client import AppClient
from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder
from tests.support.frozen.asked.damage import JSON, PATH, PNG

_KEPT = ("cache-control", "content-type", "ratelimit", "ratelimit-policy", "www-authenticate")


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return health, models, cards, and what else takes no image."""
    return {
        "health": recorder.get("/healthz"),
        "readiness": recorder.get("/readyz"),
        "models": recorder.get("/v1/models"),
        "card of damage": recorder.get("/v1/models/trivial"),
        "card of crops": recorder.get("/v1/models/bd-cnn"),
        "card of clicks": recorder.get("/v1/models/click-lite0"),
        "card of CT": recorder.get("/v1/models/cogseg"),
        "card of radiographs": recorder.get("/v1/models/cxr-bright"),
        "card of waste": recorder.get("/v1/models/waste-lite0"),
        "no such model": recorder.get("/v1/models/none"),
        "refresh": recorder.ask("POST", "/v1/repository/refresh"),
        "no progress": recorder.get("/v1/progress/none"),
        "front": recorder.get("/", describe=lambda data: {"bytes": len(data)}),
        "metrics": recorder.get("/metrics", describe=lambda _: {}),
        "OpenMetrics": recorder.get("/metrics", "application/openmetrics-text", describe=lambda _: {}),
        "no such route": recorder.get("/v1/none"),
        "no such method": recorder.get(PATH),
    }


def refusals(recorder: Recorder) -> dict[str, Any]:
    """Return what requests are answered with that make no sense, or not here."""
    pair = drawings.pair()
    small = drawings.png(drawings.ground(20, 90))
    other = drawings.png(drawings.ground(100, 200))
    apart = {"pre": drawings.geotiff(drawings.scene()), "post": drawings.geotiff(drawings.scene(), 90_000)}
    beside = {"pre": apart["pre"], "post": pair["post"]}
    return {
        "no parts": recorder.ask("POST", PATH),
        "a part is missing": recorder.post(PATH, {"pre": pair["pre"]}),
        "an unknown part": recorder.post(PATH, {**pair, "during": pair["pre"]}),
        "no such model": recorder.post(f"{PATH}?model=none", pair),
        "no such version": recorder.post(f"{PATH}?version=7", pair),
        "a model of another task": recorder.post(f"{PATH}?model=cogseg", pair),
        "a model that failed": recorder.post(f"{PATH}?model=no-file", pair),
        "not acceptable": recorder.post(PATH, pair, "text/html"),
        "an overlay as JSON": recorder.post(f"{PATH}?overlay=true", pair, JSON),
        "inclusions in a PNG": recorder.post(f"{PATH}?include=overlay", pair, PNG),
        "a wrong parameter": recorder.post(f"{PATH}?version=x", pair),
        "no image": recorder.post(PATH, {**pair, "pre": b"no picture"}),
        "half an image": recorder.post(PATH, {**pair, "pre": pair["pre"][:-900]}),
        "a small image": recorder.post(PATH, {"pre": small, "post": small}),
        "no pair": recorder.post(PATH, {**pair, "post": other}),
        "scenes apart": recorder.post(PATH, apart),
        "a scene and a picture": recorder.post(PATH, beside),
        "districts that are none": recorder.post(PATH, drawings.scenes(districts=b"[]")),
        "a picture's districts": recorder.post(PATH, {**pair, "districts": drawings.districts()}, JSON),
        "a wrong lane": recorder.post(PATH, pair, headers={"Maskgate-Priority": "first"}),
        "a wrong deadline": recorder.post(PATH, pair, headers={"Maskgate-Deadline": "soon"}),
        "waste without a photograph": recorder.post("/v1/waste", {"photo": small}),
        "a radiograph in colour": recorder.post("/v1/radiograph", {"image": drawings.photo()}),
        "a CT in colour": recorder.post("/v1/ct", {"image": drawings.photo()}),
    }


def keyed(client: AppClient, keys: dict[str, str]) -> dict[str, Any]:
    """Return how keys are asked for, checked against scopes, and counted.

    Args:
        client: of an app that knows them.
        keys: tenant → key: "waste" opens waste alone, once a minute.
    """

    def bearer(tenant: str) -> dict[str, str]:
        return {"X-Request-ID": "frozen", "Authorization": f"Bearer {keys[tenant]}"}

    headers = {"X-Request-ID": "frozen"}
    photo = {"image": drawings.photo()}
    asked = {
        "no key": client.post(PATH, files=drawings.pair(), headers=headers),
        "a wrong key": client.post(PATH, files=drawings.pair(), headers={**headers, "Authorization": "Bearer no"}),
        "no scope": client.post(PATH, files=drawings.pair(), headers=bearer("waste")),
        "the first": client.post("/v1/waste", files=photo, headers=bearer("waste")),
        "the second": client.post("/v1/waste", files=photo, headers=bearer("waste")),
        "models": client.get("/v1/models/trivial", headers=headers),
        "health": client.get("/healthz"),
    }
    return {name: _standing(answer) for name, answer in asked.items()}


def _standing(answer: httpx.Response) -> dict[str, Any]:
    headers = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
    if "ratelimit" in headers:
        headers["ratelimit"] = re.sub(r"t=[0-9]+", "t=…", headers["ratelimit"])
    body = answer.json() if "problem" in answer.headers["content-type"] else None
    return {"status": answer.status_code, "headers": headers, "retry": "retry-after" in answer.headers, "body": body}
