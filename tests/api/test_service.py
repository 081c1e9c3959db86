"""Models, health, metrics, OpenAPI."""

from __future__ import annotations

import re
from typing import Any

from tests.support.app_client import AppClient
from tests.support.pictures import encode, noise
from tests.support.places import ROOT
from tests.support.trivial_interactive import NAMES

GATEWAY = ROOT / "gateway"


def test_health_and_readiness(client: AppClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["models"]["trivial"] == "ready"


def test_faulty_folders_are_named_and_the_others_serve(client: AppClient) -> None:
    models = client.get("/readyz").json()["models"]
    assert "max_batch_size" in models["broken-card"]
    assert "model.onnx" in models["no-file"]
    assert "max_batch_size 4" in models["contradiction"]
    sound = {"trivial", "pre-only", "cogseg", "narrow", "cxr-even", "cxr-bright", "waste-lite0", "land-lite0"}
    sound |= {"restore-gan", *NAMES}
    assert {name for name, state in models.items() if state == "ready"} == sound


def test_a_required_model_that_failed_makes_the_gateway_unready(start: Any) -> None:
    assert start(models={"required": ["no-file"]}).get("/readyz").status_code == 503
    assert start(models={"required": ["trivial"]}).get("/readyz").status_code == 200


def test_models_and_cards(client: AppClient) -> None:
    models = {m["name"]: m for m in client.get("/v1/models").json()["models"]}
    assert models["trivial"]["state"] == "ready"
    assert "card" not in models["trivial"]
    assert models["no-file"]["state"] == "failed"
    assert models["no-file"]["reason"]
    card = client.get("/v1/models/trivial").json()["card"]
    assert card["classes"][4]["colour"] == [255, 0, 0]
    assert client.get("/v1/models/none-such").json()["code"] == "model-not-found"


def test_metrics_count_requests_by_route_and_stage(start: Any) -> None:
    client = start()
    pixels = encode(noise(150, 100))
    client.post("/v1/damage", files={"pre": pixels, "post": pixels})
    client.post("/v1/damage?model=nope", files={"pre": pixels, "post": pixels})
    client.get("/some/made/up/path")
    text = client.get("/metrics").text
    route = 'maskgate_http_requests_total{method="POST",route="/v1/damage",status_class='
    assert f'{route}"2xx"}} 1.0' in text
    assert f'{route}"4xx"}} 1.0' in text
    assert 'route="unmatched",status_class="4xx"} 1.0' in text
    assert "made/up" not in text
    for stage in ("receive", "queue", "decode", "infer", "finish", "encode"):
        assert f'maskgate_stage_duration_seconds_count{{stage="{stage}",task="damage"}} 1.0' in text
    assert 'maskgate_tiles_total{model="trivial"} 6.0' in text
    assert 'maskgate_output_class_fraction_ratio_count{model="trivial",value="4"} 1.0' in text
    assert 'maskgate_model_ready{model="no-file"} 0.0' in text
    assert 'maskgate_rejected_total{reason="model-not-found"} 1.0' in text
    assert "maskgate_inflight_requests 0.0" in text
    assert "maskgate_inflight_bytes 0.0" in text


def test_every_declared_metric_is_used(client: AppClient) -> None:
    telemetry = vars(client.services.telemetry)
    source = "".join(path.read_text(encoding="utf-8") for path in GATEWAY.rglob("*.py"))
    unused = [
        name for name in telemetry if name != "registry" and not re.search(rf"(telemetry|self)\.{name}\.", source)
    ]
    assert unused == []


def test_openapi_shows_parts_answers_and_problems(client: AppClient) -> None:
    schema = client.get("/openapi.json").json()
    operation = schema["paths"]["/v1/damage"]["post"]
    body = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert body["required"] == ["pre", "post"]
    assert set(operation["responses"]) >= {"200", "400", "404", "406", "413", "415", "422", "503", "504"}
    assert "image/png" in operation["responses"]["200"]["content"]
    assert "curl" in operation["description"]


def test_tasks_say_what_they_take_and_answer_with(client: AppClient) -> None:
    tasks = {task["name"]: task for task in client.get("/v1/tasks").json()["tasks"]}
    assert list(tasks) == ["ct", "damage", "interactive", "land", "radiograph", "restore", "waste"]
    damage, waste = tasks["damage"], tasks["waste"]
    assert [(part["name"], part["required"]) for part in damage["parts"]] == [
        ("pre", True),
        ("post", True),
        ("districts", False),
        ("footprints", False),
        ("elevation", False),
        ("surface", False),
        ("landcover", False),
    ]
    assert damage["default_model"] == "trivial"
    assert waste["parts"][0]["media_types"] == ["image/png", "image/jpeg"]
    assert (waste["title"], waste["answer"]) == ("Waste on a photograph, by class", "label map")
    assert waste["formats"] == ["image/png", "application/json"]
    assert "/v1/tasks" in client.get("/openapi.json").json()["paths"]
