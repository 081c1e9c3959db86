"""Each documented bound: one under it, at it, and one over it."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest
from PIL import Image

from gateway.app import create_app
from gateway.settings import LimitSettings, Settings
from tests.support.app_client import AppClient, running
from tests.support.cts import slices
from tests.support.dicoms import ct, saved, zipped
from tests.support.films import dicom
from tests.support.geotiffs import grid, write
from tests.support.oip import json_request
from tests.support.pictures import encode, noise
from tests.support.places import ROOT

GOOD = encode(noise(96, 96))
SCENE = write(noise(96, 96), grid(96, 96))
FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}
JSON = {"Accept": "application/json"}
BOX = [48, 28, 72, 72]
Post = dict[str, Any]


@dataclass(frozen=True)
class Bound:
    """A bound, and what asks for exactly so much of what it bounds.

    Attributes:
        limit: its value in the test.
        path: of the request.
        ask: returns the request's content as arguments of httpx.
        status, code: of the refusal.
        at_least: whether it is refused below the bound instead of above.
    """

    limit: int
    path: str
    ask: Callable[[int], Post]
    status: int = 413
    code: str = "image-too-large"
    at_least: bool = False


def files(**parts: Any) -> Post:
    return {"files": parts}


def pair(image: bytes) -> Post:
    return files(pre=image, post=image)


def scene(height: int, width: int) -> Post:
    return pair(write(noise(height, width), grid(width, height)))


def sides(area: int, least: int = 64, most: int = 400) -> tuple[int, int] | None:
    """Return two sides of a rectangle of exactly so many pixels, None where there are none."""
    return next(((a, area // a) for a in range(least, most) if area % a == 0 and least <= area // a <= most), None)


def box(voxels: int) -> tuple[int, int, int] | None:
    """Return rows, columns and slices of a volume of exactly so many voxels, None where there are none."""
    found = ((sides(voxels // depth, 32, 100), depth) for depth in range(1, 9) if voxels % depth == 0)
    return next(((*area, depth) for area, depth in found if area), None)


def first(start: int, exists: Callable[[int], object]) -> int:
    """Return a number from `start` on that, like both its neighbours, exists."""
    return next(n for n in count(start) if all(exists(n + d) for d in (-1, 0, 1)))


def rectangle(area: int) -> tuple[int, int]:
    found = sides(area)
    assert found
    return found


def body(length: int) -> Post:
    """Return a pair whose multipart body has exactly so many bytes, by what follows its last boundary."""
    whole = httpx.Request("POST", "http://x", files={"pre": GOOD, "post": GOOD}, headers=FORM).read()
    assert whole.endswith(b"--frontier--\r\n")
    return {"content": whole.ljust(length, b"."), "headers": FORM}


def inference(length: int) -> Post:
    tile = np.zeros((1, 64, 64, 3), np.uint8)
    return {"content": json.dumps(json_request({"pre": tile, "post": tile})).encode().ljust(length)}


def volume(voxels: int) -> Post:
    shape = box(voxels)
    assert shape
    # Half lung, half water: what could be a chest.
    units = np.zeros(shape, np.int16)
    units[: shape[0] // 2] = -800
    return files(image=nibabel.Nifti1Image(units, np.eye(4)).to_bytes())


def layer(number: int, length: int = 0, part: str = "districts") -> Post:
    ring = grid(96, 96).to_lon_lat([(0, 0), (0, 96), (96, 96), (0, 0)]).tolist()
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    text = json.dumps({"type": "FeatureCollection", "features": [feature] * number}).encode()
    return files(pre=SCENE, post=SCENE, **{part: text.ljust(length)}) | {"headers": JSON}


def prompted(prompt: object, length: int = 0) -> Post:
    return files(image=GOOD, prompt=json.dumps(prompt).encode().ljust(length))


def points(number: int) -> Post:
    return prompted({"box": BOX, "positive": [[50 + n, 60] for n in range(number - 2)]})


def objects(number: int) -> Post:
    return prompted({"objects": [{"polygon": [[1, 1], [90, 1 + n], [9, 90]]} for n in range(number)]})


def slice_of(rows: int, columns: int) -> Post:
    return files(image=saved(ct(np.zeros((rows, columns), np.int16))))


def members(number: int) -> Post:
    """Return a series of two slices in a zip of so many files."""
    return series([b"a note"] * (number - 2))


def member(length: int) -> Post:
    """Return a series with a file of so many bytes."""
    return series([os.urandom(length)])


def unpacked(length: int) -> Post:
    """Return a series that unpacks to so many bytes."""
    return series([os.urandom(length - sum(len(file) for file in slices(2, 0)))])


def series(more: list[bytes]) -> Post:
    return files(image=zipped((str(number), file) for number, file in enumerate([*slices(2, 0), *more])))


BOUNDS = {
    "body_bytes": Bound(10 * len(GOOD), "/v1/damage", body, code="body-too-large"),
    "json_bytes": Bound(100_000, "/v2/models/trivial/infer", inference, code="body-too-large"),
    "image_side": Bound(130, "/v1/damage", lambda n: pair(encode(noise(96, n)))),
    "image_pixels": Bound(first(10_000, sides), "/v1/damage", lambda n: pair(encode(noise(*rectangle(n))))),
    "image_side_minimum": Bound(
        80, "/v1/damage", lambda n: pair(encode(noise(96, n))), 422, "image-unsuitable", at_least=True
    ),
    "scene_side": Bound(130, "/v1/damage", lambda n: scene(96, n)),
    "scene_pixels": Bound(
        first(10_000, sides),
        "/v1/damage",
        lambda n: scene(*rectangle(n)),
    ),
    "districts": Bound(3, "/v1/damage", layer, code="districts-too-large"),
    "district_bytes": Bound(2000, "/v1/damage", lambda n: layer(1, n), code="districts-too-large"),
    "footprints": Bound(3, "/v1/damage", lambda n: layer(n, part="footprints"), code="footprints-too-large"),
    "footprint_bytes": Bound(2000, "/v1/damage", lambda n: layer(1, n, part="footprints"), code="footprints-too-large"),
    "prompt_points": Bound(6, "/v1/interactive", points, code="prompt-too-large"),
    "prompt_objects": Bound(3, "/v1/interactive?model=polygon", objects, code="prompt-too-large"),
    "prompt_bytes": Bound(200, "/v1/interactive", lambda n: prompted({"box": BOX}, n), code="prompt-too-large"),
    "slice_side": Bound(70, "/v1/ct", lambda n: slice_of(40, n)),
    "slice_side_minimum": Bound(40, "/v1/ct", lambda n: slice_of(n, 64), 422, "image-unsuitable", at_least=True),
    "volume_slices": Bound(4, "/v1/ct", lambda n: files(image=zipped(enumerated(slices(n, 0))))),
    "volume_voxels": Bound(first(5_000, box), "/v1/ct", volume),
    "series_files": Bound(4, "/v1/ct", members, code="archive-too-large"),
    "series_file_bytes": Bound(20_000, "/v1/ct", member, code="archive-too-large"),
    "series_bytes": Bound(40_000, "/v1/ct", unpacked, code="archive-too-large"),
    "film_side": Bound(110, "/v1/radiograph", lambda n: files(image=dicom(np.zeros((96, n), np.uint8)))),
}

ELSEWHERE = {
    "grpc_bytes": "tests/api/test_grpc.py::test_a_message_over_the_limit_is_refused_and_nothing_is_held",
    "inflight_bytes": "tests/unit/scheduling/test_admission.py::test_a_refused_growth_holds_nothing_more",
    "inflight_requests": "tests/unit/scheduling/test_admission.py::test_one_request_too_many",
    "queue_seconds": "tests/unit/scheduling/test_admission.py::test_the_queue_is_bounded",
    "deadline_seconds": "tests/api/test_bad_input.py::test_deadline",
    "scene_deadline_seconds": "tests/api/test_limits.py::test_a_scene_may_take_longer",
    "upload_seconds": "tests/api/test_slow_uploads.py::test_a_body_that_takes_too_long",
    "upload_bytes_per_second": "tests/api/test_slow_uploads.py::test_a_body_above_the_pace_of_its_size_is_taken",
    "upload_seconds_most": "tests/api/test_slow_uploads.py::test_a_body_above_the_pace_of_its_size_is_taken",
    "upload_stall_seconds": "tests/api/test_slow_uploads.py::test_a_body_that_stalls",
}
"""Times, and what other requests take: no request of so much can be made."""


def enumerated(contents: list[bytes]) -> Iterator[tuple[str, bytes]]:
    return ((str(number), content) for number, content in enumerate(contents))


@pytest.fixture(scope="module", params=BOUNDS)
def bounded(request: pytest.FixtureRequest, repository: Path) -> Iterator[tuple[str, AppClient]]:
    """Return a bound's name and an app that has it."""
    name: str = request.param
    with ExitStack() as stack:
        limits = {name: BOUNDS[name].limit}
        app = create_app(Settings(models={"repository": repository, "damage": "trivial"}, limits=limits))
        yield name, stack.enter_context(running(app))


@pytest.mark.parametrize("extra", [-1, 0, 1], ids=["under", "at", "over"])
def test_bound(bounded: tuple[str, AppClient], extra: int) -> None:
    name, client = bounded
    bound = BOUNDS[name]
    answer = client.post(bound.path, **bound.ask(bound.limit + extra))
    if extra == (-1 if bound.at_least else 1):
        assert (answer.status_code, answer.json()["code"]) == (bound.status, bound.code), answer.text
        if bound.status == 413:
            assert answer.json()["limit"] == bound.limit
    else:
        assert answer.status_code == 200, answer.text
    assert client.sample("maskgate_inflight_bytes") == 0


def test_a_scene_may_take_longer(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(limits={"deadline_seconds": 0.5, "scene_deadline_seconds": 60})
    infer = client.services.engine.infer

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.6)
        return await infer(*arguments)

    monkeypatch.setattr(client.services.engine, "infer", slowly)
    assert client.post("/v1/damage", **pair(SCENE)).status_code == 200
    assert client.post("/v1/damage", **pair(GOOD)).json()["code"] == "deadline-exceeded"


def test_no_bound_is_forgotten() -> None:
    assert set(LimitSettings.model_fields) == BOUNDS.keys() | ELSEWHERE.keys()
    assert not BOUNDS.keys() & ELSEWHERE.keys()
    for where in ELSEWHERE.values():
        file, _, test = where.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, where


def test_a_progressive_jpeg_is_reserved_with_its_coefficients(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = client.services.admission
    take, peaks = admission.take, [0]

    def watched(amount: int) -> None:
        take(amount)
        peaks[-1] = max(peaks[-1], admission._held.bytes.total)

    monkeypatch.setattr(admission, "take", watched)
    for progressive in (False, True):
        peaks.append(0)
        file = io.BytesIO()
        Image.fromarray(noise(512, 512)).save(file, "JPEG", progressive=progressive, subsampling=0, quality=20)
        assert client.post("/v1/waste", files={"image": file.getvalue()}).status_code == 200
    assert peaks[2] >= peaks[1] + 6 * 512 * 512 - 64 * 1024
    assert admission._held.bytes.total == 0


@pytest.mark.parametrize("where", ["gateway.inference.segmenter.plan", "gateway.http.uploads._Form.feed"])
def test_lack_of_memory_is_told_wherever_it_shows_and_the_next_is_unharmed(
    client: AppClient, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    pixels = encode(noise(100, 100))
    parts = {"pre": ("pre", pixels), "post": ("post", pixels)}

    def scarce(*_: object, **__: object) -> object:
        raise MemoryError("Unable to allocate 29 MiB for an array of a picture")

    with monkeypatch.context() as patched:
        patched.setattr(where, scarce)
        answer = client.post("/v1/damage", files=parts)
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert "29 MiB" not in answer.text
    assert client.post("/v1/damage", files=parts).status_code == 200
