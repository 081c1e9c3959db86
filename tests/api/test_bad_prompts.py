"""Every prompt that means nothing is a clear problem document, none a 500, and the next request is unharmed."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.conftest import Start
from tests.support.app_client import AppClient
from tests.support.pictures import encode, noise

IMAGE = encode(noise(120, 160))
BOX = [48, 28, 113, 93]
CLICKS = {"box": BOX, "positive": [[80, 60]]}


@pytest.fixture(autouse=True)
def _next_request_is_unharmed(client: AppClient) -> Iterator[None]:
    yield
    assert ask(client, CLICKS).status_code == 200


def ask(client: AppClient, prompt: object, query: str = "", **options: Any) -> httpx.Response:
    text = prompt if isinstance(prompt, bytes) else json.dumps(prompt).encode()
    return client.post(f"/v1/interactive{query}", files={"image": IMAGE, "prompt": text}, **options)


def expect(answer: httpx.Response, status: int, code: str, pointer: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["detail"].endswith(".")
    assert problem.get("errors", [{"pointer": None}])[0]["pointer"] == pointer
    for leak in ("Traceback", "cv2", "pydantic", "validation", "Input should", "object at 0x", ".py"):
        assert leak not in answer.text
    return problem


BAD: dict[str, tuple[object, str, str]] = {
    "no clicks": ({}, "", "empty"),
    "empty list of clicks": ({"positive": []}, "", "empty"),
    "one corner": ({"box": [5, 5]}, "/box", "two opposite corners"),
    "five numbers": ({"box": [5, 5, 9, 9, 9]}, "/box", "two opposite corners"),
    "box as text": ({"box": "5,5,9,9"}, "/box", "two opposite corners"),
    "box of zero area": ({"box": [5, 5, 5, 5]}, "/box", "no area"),
    "box of one row": ({"box": [5, 5, 90, 5]}, "/box", "no area"),
    "polygon of two": ({"polygon": [[5, 5], [9, 9]]}, "/polygon", "2 are given"),
    "bow tie": ({"polygon": [[5, 5], [90, 90], [90, 5], [5, 90]]}, "/polygon", "crosses itself"),
    "flat polygon": ({"polygon": [[5, 5], [9, 9], [20, 20]]}, "/polygon", "on a line"),
    "three extremes": ({"extreme": [[5, 5], [9, 9], [20, 20]]}, "/extreme", "3 are given"),
    "one extreme": ({"extreme": [[5, 5]] * 4}, "/extreme", "one row or column"),
    "NaN": (b'{"box": [5, 5, 90, NaN]}', "/box", "finite"),
    "infinity": (b'{"positive": [[5, -Infinity]]}', "/positive/0", "finite"),
    "too large a number": (b'{"positive": [[5, 1e999]]}', "/positive/0", "finite"),
    "too long a number": (b'{"positive": [[5, 1' + b"0" * 400 + b"]]}", "/positive/0", "finite"),
    "click unnested": ({"positive": [5, 5]}, "/positive/0", "[[x, y], …]"),
    "text for a number": ({"positive": [["5", 5]]}, "/positive/0/0", "[[x, y], …]"),
    "truth for a number": ({"negative": [[True, 5]]}, "/negative/0/0", "[[x, y], …]"),
    "tight as text": ({**CLICKS, "tight": "yes"}, "/tight", "true or false"),
    "empty stroke": ({"strokes": {"object": [[]]}}, "/strokes/object/0", "lines of points"),
    "strokes as points": ({"strokes": [[5, 5]]}, "/strokes", "Strokes are"),
    "stroke unnested": ({"strokes": {"object": [[5, 5]]}}, "/strokes/object/0/0", "Strokes are"),
    "unknown key": ({"clicks": [[5, 5]]}, "", "box, positive, negative"),
    "unknown kind of stroke": ({"strokes": {"x": []}}, "/strokes", "Strokes are"),
    "list": ([CLICKS], "", "box, positive, negative"),
    "number": (7, "", "box, positive, negative"),
    "null": (None, "", "box, positive, negative"),
    "unknown key of an object": ({"objects": [{"x": []}]}, "/objects/0", "box, positive, negative"),
    "no objects": ({"objects": []}, "/objects", "at least one"),
    "objects no list": ({"objects": CLICKS}, "/objects", "at least one"),
    "objects and more": ({"objects": [CLICKS], "box": BOX}, "", "objects alone"),
    "second object of one corner": ({"objects": [CLICKS, {"box": [5]}]}, "/objects/1/box", "two opposite corners"),
    "second object flat": ({"objects": [CLICKS, {"box": [5, 5, 5, 5]}]}, "/objects/1/box", "no area"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_shows_nothing(client: AppClient, name: str) -> None:
    prompt, pointer, detail = BAD[name]
    assert detail in expect(ask(client, prompt), 422, "prompt-invalid", f"/prompt{pointer}")["detail"]


@pytest.mark.parametrize(
    ("prompt", "pointer"),
    [
        ({**CLICKS, "positive": [[162, 60]]}, "/prompt/positive/0"),
        ({**CLICKS, "negative": [[1, 1], [3, -7]]}, "/prompt/negative/1"),
        ({"box": [5, 5, 1e300, 9]}, "/prompt/box"),
        (
            {"objects": [CLICKS, {"strokes": {"background": [[[3, 3], [3, 122]]]}}]},
            "/prompt/objects/1/strokes/background/0/1",
        ),
    ],
)
def test_what_is_not_on_the_image(client: AppClient, prompt: object, pointer: str) -> None:
    problem = expect(ask(client, prompt), 422, "click-outside", pointer)
    assert "from (0, 0) to (159, 119)" in problem["detail"]


@pytest.mark.parametrize("text", [b"", b"{", b'{"box": [1, 2', b"\xff\xfe", b"box=1", b"[" * 100_000])
def test_what_is_not_json(client: AppClient, text: bytes) -> None:
    expect(ask(client, text), 400, "bad-request", "/prompt")


@pytest.mark.parametrize(
    ("model", "prompt", "takes"),
    [
        (
            "iog",
            {**CLICKS, "negative": [[50, 30]]},
            "a box, and one positive click or none; or the click alone. click-lite0 takes more clicks",
        ),
        (
            "iog",
            {**CLICKS, "positive": [[80, 60], [70, 60]]},
            "a box, and one positive click or none; or the click alone. click-lite0 takes more clicks",
        ),
        ("click-lite0", {"negative": [[80, 60]]}, "a box, and any number of positive and negative clicks"),
        ("click-lite0", {**CLICKS, "polygon": [[1, 1], [9, 1], [9, 9]]}, "a box, and any number"),
        ("dextr", CLICKS, "four extreme points"),
        ("dextr", {"extreme": [[1, 2], [50, 1], [50, 50], [9, 60]], "positive": [[20, 20]]}, "four extreme points"),
        ("grabcut", {"positive": [[80, 60]]}, "a box"),
        ("grabcut", {"extreme": [[1, 2], [50, 1], [50, 50], [9, 60]]}, "a box"),
        ("watershed", {"box": BOX}, "strokes or clicks"),
        ("polygon", {"positive": [[80, 60]]}, "a polygon"),
    ],
)
def test_what_the_model_does_not_take(client: AppClient, model: str, prompt: object, takes: str) -> None:
    answer = ask(client, prompt, f"?model={model}")
    problem = expect(answer, 422, "prompt-unsuitable", answer.json()["errors"][0]["pointer"])
    assert f"{model} takes {takes}" in problem["detail"]


@pytest.mark.parametrize(
    ("model", "prompt"),
    [
        ("watershed", {"strokes": {"object": [[[80, 60]]]}}),
        ("watershed", {"positive": [[80, 60]], "negative": [[80, 60]]}),
        ("grabcut", {"box": [60, 50, 63, 53], "negative": [[60, 51], [62, 51], [61, 50], [61, 52]]}),
    ],
)
def test_hints_that_leave_one_side_nothing(client: AppClient, model: str, prompt: object) -> None:
    assert model in expect(ask(client, prompt, f"?model={model}"), 422, "prompt-invalid", "/prompt")["detail"]


class TestTooMuch:
    def test_ten_thousand_clicks(self, client: AppClient) -> None:
        many = {"box": BOX, "positive": [[80, 60]] * 10_000}
        problem = expect(ask(client, many), 413, "prompt-too-large", "/prompt")
        assert problem["limit"] == 1000

    def test_points_at_the_limit_and_one_more(self, client: AppClient) -> None:
        assert ask(client, {"box": BOX, "positive": [[80, 60]] * 998}).status_code == 200
        expect(ask(client, {"box": BOX, "positive": [[80, 60]] * 999}), 413, "prompt-too-large", "/prompt")
        # Each object has a limit of its own.
        two = {"objects": [{"box": BOX, "positive": [[80, 60]] * 998}] * 2}
        assert ask(client, two, "?model=grabcut").status_code == 200

    def test_objects_over_the_limit(self, client: AppClient) -> None:
        line = {"polygon": [[1, 1], [9, 1], [9, 9]]}
        problem = expect(
            ask(client, {"objects": [line] * 256}, "?model=polygon"), 413, "prompt-too-large", "/prompt/objects"
        )
        assert problem["limit"] == 255

    def test_text_over_the_limit_is_not_read(self, client: AppClient) -> None:
        at_limit = json.dumps(CLICKS).encode().ljust(1024 * 1024)
        assert ask(client, at_limit).status_code == 200
        assert expect(ask(client, at_limit + b" "), 413, "prompt-too-large", "/prompt")["limit"] == 1024 * 1024

    def test_limits_are_settings(self, start: Start) -> None:
        client = start(limits={"prompt_points": 4, "prompt_objects": 1, "prompt_bytes": 100})
        assert ask(client, {"box": BOX, "positive": [[80, 60], [70, 50]]}).status_code == 200
        three = {"box": BOX, "positive": [[80, 60], [70, 50], [60, 40]]}
        assert expect(ask(client, three), 413, "prompt-too-large", "/prompt")["limit"] == 4
        assert (
            expect(ask(client, {"objects": [{"box": BOX}] * 2}), 413, "prompt-too-large", "/prompt/objects")["limit"]
            == 1
        )
        assert expect(ask(client, b" " * 101), 413, "prompt-too-large", "/prompt")["limit"] == 100

    def test_masks_of_many_large_objects_are_accounted_for(self, start: Start) -> None:
        from gateway.settings import MIB

        limits = {"body_bytes": MIB, "image_pixels": 120 * 160, "image_side": 160, "inflight_bytes": 3 * MIB}
        no_ct = {"series_file_bytes": 1, "slice_side": 64, "volume_slices": 1, "volume_voxels": 64 * 64}
        client = start(limits=limits | no_ct)
        whole = {"polygon": [[0, 0], [159, 0], [159, 119], [0, 119]]}
        assert ask(client, {"objects": [whole] * 10}, "?model=polygon").status_code == 200
        answer = ask(client, {"objects": [whole] * 255}, "?model=polygon")
        expect(answer, 503, "overloaded", None)
        assert client.sample("maskgate_inflight_bytes") == 0


class TestParameters:
    @pytest.mark.parametrize("threshold", ["0", "1", "-0.1", "1.5", "nan", "inf", "half"])
    def test_thresholds_lie_between_0_and_1(self, client: AppClient, threshold: str) -> None:
        expect(ask(client, CLICKS, f"?threshold={threshold}"), 422, "parameter-invalid", "/threshold")

    def test_tools_have_neither_threshold_nor_version(self, client: AppClient) -> None:
        expect(ask(client, {"box": BOX}, "?model=grabcut&threshold=0.5"), 422, "parameter-invalid", "/threshold")
        expect(ask(client, {"box": BOX}, "?model=grabcut&version=1"), 422, "parameter-invalid", "/version")

    def test_pictures_belong_to_their_form(self, client: AppClient) -> None:
        expect(ask(client, CLICKS, "?include=coco"), 422, "parameter-invalid", "/include")
        as_json = {"Accept": "application/json"}
        expect(ask(client, CLICKS, "?overlay=true", headers=as_json), 422, "parameter-invalid", "/overlay")
        expect(ask(client, CLICKS, "?include=all", headers=as_json), 422, "parameter-invalid", "/include")

    def test_unknown_models_and_versions(self, client: AppClient) -> None:
        problem = expect(ask(client, CLICKS, "?model=sam"), 404, "model-not-found", "/model")
        for name in ("click-lite0", "dextr", "grabcut", "polygon"):
            assert name in problem["detail"]
        expect(ask(client, CLICKS, "?model=trivial"), 404, "model-not-found", "/model")
        expect(ask(client, CLICKS, "?model=click-lite0-encoder"), 404, "model-not-found", "/model")
        expect(ask(client, CLICKS, "?version=9"), 404, "version-not-found", "/version")

    def test_what_cannot_be_produced(self, client: AppClient) -> None:
        expect(ask(client, CLICKS, headers={"Accept": "image/webp"}), 406, "not-acceptable", "/accept")


class TestParts:
    def test_both_are_needed_and_no_others(self, client: AppClient) -> None:
        prompt = json.dumps(CLICKS).encode()
        expect(client.post("/v1/interactive", files={"image": IMAGE}), 400, "part-problem", "/prompt")
        expect(client.post("/v1/interactive", files={"prompt": prompt}), 400, "part-problem", "/image")
        three = {"image": IMAGE, "prompt": prompt, "mask": IMAGE}
        expect(client.post("/v1/interactive", files=three), 400, "part-problem", None)
        expect(client.post("/v1/interactive", json=CLICKS), 415, "unsupported-media", None)

    @pytest.mark.parametrize(
        ("image", "status", "code"),
        [
            (b"", 422, "image-unreadable"),
            (b"GIF89a", 415, "unsupported-media"),
            (IMAGE[: len(IMAGE) // 2], 422, "image-unreadable"),
            (encode(noise(1, 160)), 422, "image-unsuitable"),
        ],
    )
    def test_images_are_judged_as_everywhere(self, client: AppClient, image: bytes, status: int, code: str) -> None:
        files = {"image": image, "prompt": json.dumps(CLICKS).encode()}
        expect(client.post("/v1/interactive", files=files), status, code, "/image")

    def test_a_bad_prompt_is_refused_before_a_pixel_is_decoded(self, client: AppClient) -> None:
        big = encode(np.zeros((5000, 5000, 3), np.uint8))
        files = {"image": big, "prompt": b'{"box": [1, 1, 5003, 9]}'}
        tracemalloc.start()
        try:
            expect(client.post("/v1/interactive", files=files), 422, "click-outside", "/prompt/box")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5000 * 5000


def test_a_head_without_its_encoder_is_not_ready(start: Start, tmp_path: Any) -> None:
    from tests.support.trivial_interactive import write_trivial_interactive

    client = start(models={"repository": write_trivial_interactive(tmp_path, ["click-lite0"])})
    answer = ask(client, CLICKS)
    problem = expect(answer, 503, "model-not-ready", None)
    assert "encoder" in problem["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert ask(client, {"box": BOX}, "?model=grabcut").status_code == 200


def test_the_new_problems_explain_themselves(client: AppClient) -> None:
    for code in ("prompt-invalid", "click-outside", "prompt-unsuitable", "prompt-too-large"):
        assert client.get(f"/problems/{code}").json()["meaning"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["box", "positive", "negative", "extreme", "polygon", "strokes", "tight", "objects", "object", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(JSON, st.sampled_from(["iog", "click-lite0", "dextr", "grabcut", "watershed", "polygon"]))
def test_no_json_at_all_is_a_defect_of_ours(client: AppClient, body: Any, model: str) -> None:
    answer = ask(client, body, f"?model={model}")
    assert answer.status_code in {200, 400, 413, 422}, answer.text
