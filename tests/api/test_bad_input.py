"""Every bad input is a clear problem document, none a 500, and the next request is unharmed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.app import create_app
from tests.support.admitted import admit
from tests.support.app_client import AppClient
from tests.support.pictures import encode, noise, save

GOOD = encode(noise(96, 96))


@pytest.fixture(autouse=True)
def _next_request_is_unharmed(client: AppClient) -> Iterator[None]:
    yield
    assert client.post("/v1/damage", files={"pre": GOOD, "post": GOOD}).status_code == 200


def expect(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["type"] == f"/problems/{code}"
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["title"]
    assert problem["detail"].endswith(".")
    for leak in ("Traceback", "cv2", "PIL", "object at 0x", ".py"):
        assert leak not in answer.text
    return problem


def declared_png(width: int, height: int) -> bytes:
    """Return a PNG whose header declares a size its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.fromarray(noise(96, 96, seed)) for seed in range(3)]
    return save(frames[0], save_all=True, append_images=frames[1:])


BAD_IMAGES = {
    "empty": (b"", 422, "image-unreadable"),
    "text": (b"not an image at all", 415, "unsupported-media"),
    "gif": (encode(noise(96, 96), "GIF"), 415, "unsupported-media"),
    "truncated PNG": (GOOD[: len(GOOD) // 2], 422, "image-unreadable"),
    "truncated JPEG": (encode(noise(96, 96), "JPEG")[:900], 422, "image-unreadable"),
    "PNG bomb": (declared_png(60_000, 60_000), 413, "image-too-large"),
    "too long a side": (declared_png(13_000, 13_000), 413, "image-too-large"),
    "lying PNG": (declared_png(200, 200), 422, "image-unreadable"),
    "animated": (animated(), 422, "image-unsuitable"),
    "CMYK": (encode(noise(96, 96), "JPEG", mode="CMYK"), 422, "image-unsuitable"),
    "too small": (encode(noise(63, 96)), 422, "image-unsuitable"),
}


@pytest.mark.parametrize("part", ["pre", "post"])
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image(client: AppClient, name: str, part: str) -> None:
    data, status, code = BAD_IMAGES[name]
    problem = expect(client.post("/v1/damage", files={"pre": GOOD, "post": GOOD} | {part: data}), status, code)
    assert problem["errors"][0]["pointer"] == f"/{part}"
    if status == 413:
        assert problem["limit"] == 12_000


def test_sizes_of_another_aspect(client: AppClient) -> None:
    files = {"pre": encode(noise(96, 192)), "post": encode(noise(192, 96))}
    problem = expect(client.post("/v1/damage", files=files), 422, "pair-mismatch")
    assert "192×96" in problem["detail"]
    assert "96×192" in problem["detail"]


@pytest.mark.parametrize("name", ["pre", "post"])
def test_missing_part(client: AppClient, name: str) -> None:
    problem = expect(client.post("/v1/damage", files={name: GOOD}), 400, "part-problem")
    assert "missing" in problem["detail"]


def test_part_twice(client: AppClient) -> None:
    parts = [("image", ("a", GOOD)), ("image", ("b", GOOD))]
    assert "twice" in expect(client.post("/v1/waste", files=parts), 400, "part-problem")["detail"]


def test_pictures_come_in_no_tiles(client: AppClient) -> None:
    parts = [("pre", ("a", GOOD)), ("pre", ("b", GOOD)), ("post", ("c", GOOD))]
    problem = expect(client.post("/v1/damage", files=parts), 400, "part-problem")
    assert "are GeoTIFF" in problem["detail"]
    many = [("pre", ("a", GOOD))] * 257 + [("post", ("c", GOOD))]
    assert "256 times" in expect(client.post("/v1/damage", files=many), 400, "part-problem")["detail"]


def test_unknown_part_is_not_echoed(client: AppClient) -> None:
    files = {"pre": GOOD, "post": GOOD, "Jane-Doe-1970": GOOD}
    assert "Jane" not in client.post("/v1/damage", files=files).text
    expect(client.post("/v1/damage", files=files), 400, "part-problem")


def test_body_that_is_not_multipart(client: AppClient) -> None:
    expect(client.post("/v1/damage", json={"pre": "…"}), 415, "unsupported-media")
    expect(client.post("/v1/damage"), 415, "unsupported-media")


def test_body_that_ends_early(client: AppClient) -> None:
    whole = httpx.Request("POST", "http://x", files={"pre": GOOD, "post": GOOD})
    headers = {"Content-Type": whole.headers["Content-Type"]}
    cut = whole.read()[:-30]
    expect(client.post("/v1/damage", content=cut, headers=headers), 400, "upload-incomplete")


def test_body_of_garbage(client: AppClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=frontier"}
    expect(client.post("/v1/damage", content=b"--frontier\r\n\x00: x\r\n\r\n", headers=headers), 400, "bad-request")


def test_body_over_the_limit_declared_and_found(start: Any) -> None:
    body = httpx.Request("POST", "http://x", files={"pre": GOOD, "post": GOOD})
    content, headers = body.read(), {"Content-Type": body.headers["Content-Type"]}
    at_limit = start(limits={"body_bytes": len(content)})
    assert at_limit.post("/v1/damage", content=content, headers=headers).status_code == 200
    below = start(limits={"body_bytes": len(content) - 1})
    declared = below.post("/v1/damage", content=content, headers=headers)
    assert expect(declared, 413, "body-too-large")["limit"] == len(content) - 1

    async def chunks() -> AsyncIterator[bytes]:
        yield content[:1000]
        yield content[1000:]

    chunked = below.post("/v1/damage", content=chunks(), headers=headers)
    expect(chunked, 413, "body-too-large")


def test_unknown_model_names_the_ones_there_are(client: AppClient) -> None:
    problem = expect(client.post("/v1/damage?model=nope", files={"pre": GOOD, "post": GOOD}), 404, "model-not-found")
    assert "trivial" in problem["detail"]
    assert "nope" not in problem["detail"]


@pytest.mark.parametrize("model", ["broken-card", "no-file", "contradiction"])
def test_faulty_model(client: AppClient, model: str) -> None:
    answer = client.post(f"/v1/damage?model={model}", files={"pre": GOOD, "post": GOOD})
    problem = expect(answer, 503, "model-not-ready")
    assert problem["retryable"]
    assert int(answer.headers["Retry-After"]) > 0


def test_unacceptable(client: AppClient) -> None:
    answer = client.post("/v1/damage", files={"pre": GOOD, "post": GOOD}, headers={"Accept": "text/html"})
    assert "image/png" in expect(answer, 406, "not-acceptable")["detail"]


def test_bad_parameters(client: AppClient) -> None:
    files = {"pre": GOOD, "post": GOOD}
    expect(client.post("/v1/damage?overlay=perhaps", files=files), 422, "parameter-invalid")
    answer = client.post("/v1/damage?overlay=true", files=files, headers={"Accept": "application/json"})
    expect(answer, 422, "parameter-invalid")
    expect(client.post("/v1/damage?include=overlay", files=files), 422, "parameter-invalid")
    answer = client.post("/v1/damage?include=everything", files=files, headers={"Accept": "application/json"})
    expect(answer, 422, "parameter-invalid")


def test_unknown_route_and_method(client: AppClient) -> None:
    expect(client.get("/v1/nothing"), 404, "route-not-found")
    answer = client.get("/v1/damage")
    expect(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "POST"


def test_every_problem_type_explains_itself(client: AppClient) -> None:
    for code in ("image-too-large", "pair-mismatch", "overloaded", "internal"):
        meaning = client.get(f"/problems/{code}").json()
        assert meaning["code"] == code
        assert meaning["meaning"]
    expect(client.get("/problems/none-such"), 404, "route-not-found")


def test_a_defect_is_a_500_without_its_text(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("secret detail of /some/path")

    monkeypatch.setattr("gateway.tasks.damage.route.encode_label_map", fail)
    answer = client.post("/v1/damage", files={"pre": GOOD, "post": GOOD})
    expect(answer, 500, "internal")
    assert "secret" not in answer.text
    monkeypatch.undo()


def test_too_many_requests_and_bytes(start: Any) -> None:
    files = {"pre": GOOD, "post": GOOD}
    client = start()
    services = client.services
    with admit(services.admission) as reservation:
        reservation.grow(services.settings.limits.inflight_bytes - 100)
        answer = client.post("/v1/damage", files=files)
        expect(answer, 503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
    assert client.post("/v1/damage", files=files).status_code == 200
    one = start(limits={"inflight_requests": 1})
    with admit(one.services.admission):
        expect(one.post("/v1/damage", files=files), 503, "overloaded")
    assert one.post("/v1/damage", files=files).status_code == 200


def test_deadline(start: Any) -> None:
    client = start(limits={"deadline_seconds": 0.000_001})
    expect(client.post("/v1/damage", files={"pre": GOOD, "post": GOOD}), 504, "deadline-exceeded")


def test_what_leaves_refuses_new_work(start: Any) -> None:
    client = start()
    client.services.admission.draining = client.services.admission.closed = True
    expect(client.post("/v1/damage", files={"pre": GOOD, "post": GOOD}), 503, "draining")
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_odd_file_names_and_types_do_not_matter(client: AppClient) -> None:
    files = {"pre": ("../../x.exe", GOOD, "text/plain"), "post": ("é\r\n", GOOD, "video/mp4")}
    assert client.post("/v1/damage", files=files).status_code == 200


def test_settings_that_could_never_serve_are_refused() -> None:
    from pydantic import ValidationError

    from gateway.settings import Settings

    with pytest.raises(ValidationError, match="inflight_bytes must be at least"):
        create_app(Settings(limits={"inflight_bytes": 1000}))


def test_pixels_of_the_answer_fit_what_png_readers_expect(client: AppClient) -> None:
    answer = client.post("/v1/damage", files={"pre": GOOD, "post": GOOD})
    with Image.open(io.BytesIO(answer.content)) as image:
        image.verify()
    assert np.frombuffer(answer.content[16:24], ">u4").tolist() == [96, 96]


@pytest.mark.parametrize("length", [256, 257, 5000])
def test_a_boundary_of_any_length_is_taken_or_refused(client: AppClient, length: int) -> None:
    boundary = "x" * length
    body = b"--%s--\r\n" % boundary.encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert client.post("/v1/damage", content=body, headers=headers).status_code == 400


def test_no_link_leads_to_the_host_that_a_caller_names(client: AppClient) -> None:
    for path, there in (("/v1/models/", "/v1/models"), ("/v1/models/?a=b", "/v1/models?a=b")):
        answer = client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert answer.status_code == 307
        assert "evil" not in answer.headers["Location"]
        assert httpx.URL(f"http://gateway{path}").join(answer.headers["Location"]).raw_path.decode() == there
