"""A task that lies in one folder outside the tree answers over HTTP, on either engine, like those inside."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.access.keys import digest_of
from gateway.app import create_app
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.pictures import decode, encode, noise
from tests.support.toy_task.model import CLASSES, write_model
from tests.support.toy_task.pipeline import dry
from tests.support.toy_task.spec import TASK
from tests.support.triton import Tritons
from tests.support.trivial import label_table, write_trivial_model

PHOTO = noise(60, 50)
KEYS = {
    "collector": {"digest": digest_of("collector"), "scopes": [TASK.name]},
    "other": {"digest": digest_of("other"), "scopes": ["waste"]},
}


@pytest.fixture(params=["embedded", pytest.param("triton", marks=pytest.mark.e2e)])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AppClient]:
    write_model(tmp_path)
    write_trivial_model(tmp_path)
    engine: dict[str, Any] = {"kind": request.param}
    if request.param == "triton":
        tritons: Tritons = request.getfixturevalue("tritons")
        engine["triton_url"] = tritons.serving(tmp_path).url
    limits = {"image_side_minimum": 32}
    models = {"repository": tmp_path, "tasks": [TASK.package], "damage": "trivial"}
    groups = {"models": models, "engine": engine, "auth": {"keys": KEYS}, "limits": limits}
    with running(create_app(Settings.model_validate(groups))) as client:
        yield client


def ask(app: AppClient, key: str = "collector", accept: str = "image/png", **query: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}", "Accept": accept}
    return app.post(f"/v1/{TASK.name}", files={"image": encode(PHOTO)}, headers=headers, params=query)


def test_it_answers_in_every_form_to_a_key_of_its_scope(app: AppClient) -> None:
    expected = dry(PHOTO, label_table(len(CLASSES))[PHOTO[..., 1]])
    answer = ask(app)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Maskgate-Model"] == TASK.default_model
    np.testing.assert_array_equal(decode(answer.content), expected)

    overlay = decode(ask(app, overlay="true").content)
    assert overlay.shape[1:] == (50, 3)
    assert len(overlay) > 60, "the legend is below"

    report = ask(app, accept="application/json", include="overlay").json()
    assert [c["pixels"] for c in report["classes"]] == np.bincount(expected.ravel(), minlength=3).tolist()
    assert sum(region["area"] for region in report["regions"]) == np.count_nonzero(expected)
    assert {region["name"] for region in report["regions"]} == {"gravel", "cobble"}
    assert report["provenance"]["model"] == TASK.default_model
    np.testing.assert_array_equal(decode(b64decode(report["pictures"]["overlay"])), overlay)


def test_its_key_opens_nothing_else_and_no_other_opens_it(app: AppClient) -> None:
    assert ask(app, key="other").status_code == 403
    images = {"pre": encode(PHOTO), "post": encode(PHOTO)}
    elsewhere = app.post("/v1/damage", files=images, headers={"Authorization": "Bearer collector"})
    assert (elsewhere.status_code, elsewhere.json()["scope"]) == (403, "damage")


def test_what_is_wrong_is_said_as_of_any_task(app: AppClient) -> None:
    assert ask(app, model="trivial").json()["code"] == "model-not-found"
    assert ask(app, accept="text/html").json()["code"] == "not-acceptable"
    broken = app.post(f"/v1/{TASK.name}", files={"image": b"no image"}, headers={"Authorization": "Bearer collector"})
    assert (broken.status_code, broken.json()["errors"][0]["pointer"]) == (415, "/image")
