"""Every bad film is a clear problem document of its own, none a 500, and the next request is unharmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.uid import EncapsulatedPDFStorage, RLELossless

from tests.api.conftest import Start
from tests.support.admitted import admit
from tests.support.app_client import AppClient
from tests.support.cts import nifti, series
from tests.support.dicoms import NAME, SURNAME, compressed, ct, film, saved
from tests.support.films import chest, dicom
from tests.support.pictures import encode, noise
from tests.support.places import SAMPLES
from tests.support.trivial import damage_version
from tests.support.trivial_radiograph import write_trivial_radiograph

GOOD = dicom()


@pytest.fixture(autouse=True)
def _next_request_is_unharmed(client: AppClient) -> Iterator[None]:
    yield
    assert client.post("/v1/radiograph", files={"image": GOOD}).status_code == 200
    assert client.sample("maskgate_inflight_bytes") == 0


def expect(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["detail"].endswith(".")
    for leak in ("Traceback", "pydicom", "object at 0x", ".py", SURNAME, SURNAME.upper()):
        assert leak not in answer.text
    return problem


def document() -> bytes:
    dataset = film(chest(), PixelData=None, Rows=None, Columns=None, SOPClassUID=EncapsulatedPDFStorage)
    dataset.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    dataset.add_new("EncapsulatedDocument", "OB", b"%PDF-1.7 " + NAME.encode())
    return saved(dataset)


def of_several_frames() -> bytes:
    return saved(film(np.tile(chest(), (3, 1)).astype(int), Rows=96, NumberOfFrames=3))


def damaged_compressed() -> bytes:
    data = saved(compressed(film(noise(96, 96)[..., 0].astype(int) * 16), RLELossless))
    return data[:-600] + bytes(592) + b"\xfe\xff\xdd\xe0\0\0\0\0"


def tinted(share: float) -> bytes:
    """Return a film of which a share is painted red."""
    pixels = np.repeat(chest()[..., None], 3, axis=2)
    pixels[: round(share * len(pixels))] = (250, 10, 10)
    return encode(pixels)


BAD: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "empty": (lambda: b"", 422, "image-unreadable"),
    "text": (lambda: b"not a film at all", 415, "unsupported-media"),
    "PDF": (lambda: b"%PDF-1.7 and so on", 415, "unsupported-media"),
    "zipped series": (series, 415, "unsupported-media"),
    "NIfTI": (lambda: nifti(np.eye(4)), 415, "unsupported-media"),
    "a CT": (lambda: saved(ct(BodyPartExamined="CHEST")), 422, "modality-unsuitable"),
    "of a leg": (lambda: dicom(BodyPartExamined="LEG"), 422, "body-part-unsuitable"),
    "of several frames": (of_several_frames, 422, "image-unsuitable"),
    "encapsulated PDF": (document, 422, "pixels-missing"),
    "DICOM without pixels": (lambda: saved(film(chest(), PixelData=None)), 422, "pixels-missing"),
    "truncated DICOM": (lambda: GOOD[:-1000], 422, "image-unreadable"),
    "truncated in its header": (lambda: GOOD[:300], 422, "pixels-missing"),
    "lying about its size": (lambda: dicom(Rows=4000), 422, "image-unreadable"),
    "damaged compression": (damaged_compressed, 422, "image-unreadable"),
    "unknown transfer syntax": (
        lambda: GOOD.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"),
        415,
        "compression-unsupported",
    ),
    "a lateral view": (lambda: dicom(ViewPosition="LL"), 422, "image-unsuitable"),
    "for processing": (lambda: dicom(PresentationIntentType="FOR PROCESSING"), 422, "image-unsuitable"),
    "window of no width": (lambda: dicom(WindowCenter=9, WindowWidth=0), 422, "image-unsuitable"),
    "DICOM in colour": (lambda: dicom(SamplesPerPixel=3), 422, "colour-unsuitable"),
    "window of nonsense": (lambda: dicom(WindowCenter="nan"), 422, "image-unreadable"),
    "too small a DICOM": (lambda: saved(film(chest()[:63])), 422, "image-unsuitable"),
    "too large a DICOM": (lambda: saved(film(np.zeros((64, 6001), int))), 413, "image-too-large"),
    "too small a PNG": (lambda: encode(chest()[:63]), 422, "image-unsuitable"),
    "too large a PNG": (lambda: encode(np.zeros((64, 6001), np.uint8)), 413, "image-too-large"),
    "colour photograph": (lambda: encode(noise(96, 96)), 422, "colour-unsuitable"),
    "colour photograph as JPEG": (lambda: encode(noise(96, 96), "JPEG"), 422, "colour-unsuitable"),
    "film painted over": (lambda: tinted(0.1), 422, "colour-unsuitable"),
    "truncated PNG": (lambda: encode(noise(96, 96)[..., 0])[:900], 422, "image-unreadable"),
    "truncated JPEG": (lambda: encode(noise(96, 96)[..., 0], "JPEG")[:200], 422, "image-unreadable"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_image(client: AppClient, name: str) -> None:
    make, status, code = BAD[name]
    answer = client.post("/v1/radiograph", files={"image": (f"{NAME}.dcm", make())})
    problem = expect(answer, status, code)
    assert problem["errors"][0]["pointer"] == "/image"
    assert ("limit" in problem) == (status == 413)


def test_a_letter_in_colour_makes_no_photograph(client: AppClient) -> None:
    assert client.post("/v1/radiograph", files={"image": tinted(0.01)}).status_code == 200


def test_the_real_film_of_a_leg_is_refused(client: AppClient) -> None:
    path = SAMPLES / "format_samples" / "dicom" / "RG3_J2KI.dcm"
    if not path.is_file():
        pytest.skip("no real samples: ../shared/data/format_samples/dicom/RG3_J2KI.dcm is not there")
    answer = client.post("/v1/radiograph", files={"image": path.read_bytes()})
    assert "chest" in expect(answer, 422, "body-part-unsuitable")["detail"]


@pytest.mark.parametrize("query", ["threshold=0", "threshold=1", "threshold=nan", "threshold=-0.5", "threshold=half"])
def test_a_threshold_is_between_0_and_1(client: AppClient, query: str) -> None:
    problem = expect(client.post(f"/v1/radiograph?{query}", files={"image": GOOD}), 422, "parameter-invalid")
    assert problem["errors"][0]["pointer"] == "/threshold"


@pytest.mark.parametrize("model", ["trivial", "cogseg", "cxr-none", "broken-card"])
def test_a_model_of_another_task_is_none_of_this(client: AppClient, model: str) -> None:
    answer = client.post(f"/v1/radiograph?model={model}", files={"image": GOOD})
    if model == "broken-card":  # nobody can tell what it was for
        expect(answer, 503, "model-not-ready")
        return
    problem = expect(answer, 404, "model-not-found")
    assert all(name in problem["detail"] for name in ("cxr-bright", "cxr-even", "ensemble"))
    assert problem["errors"][0]["pointer"] == "/model"


def test_versions_are_of_models_and_not_of_the_ensemble(client: AppClient) -> None:
    expect(client.post("/v1/radiograph?model=cxr-even&version=7", files={"image": GOOD}), 404, "version-not-found")
    problem = expect(client.post("/v1/radiograph?version=1", files={"image": GOOD}), 422, "parameter-invalid")
    assert problem["errors"][0]["pointer"] == "/version"


def test_a_repository_without_such_models_says_so(start: Start, tmp_path: Path) -> None:
    client = start(models={"repository": tmp_path})
    answer = client.post("/v1/radiograph", files={"image": GOOD})
    assert "no model of radiographs" in expect(answer, 404, "model-not-found")["detail"]
    damage_version(write_trivial_radiograph(tmp_path, "cxr-a"), 1)
    client.run(client.services.engine.refresh)
    answer = client.post("/v1/radiograph", files={"image": GOOD})
    assert "No model of radiographs is ready" in expect(answer, 503, "model-not-ready")["detail"]
    assert answer.headers["Retry-After"] == "5"


def test_the_ensemble_goes_without_a_model_that_does_not_load(start: Start, tmp_path: Path) -> None:
    write_trivial_radiograph(tmp_path, "cxr-a")
    damage_version(write_trivial_radiograph(tmp_path, "cxr-b"), 1)
    report = start(models={"repository": tmp_path}).post("/v1/radiograph", files={"image": GOOD}).json()
    assert [entry["provenance"]["model"] for entry in report["models"]] == ["cxr-a"]
    assert "the ensemble goes without cxr-b: not ready, or of other classes" in report["notices"]


@pytest.mark.parametrize(
    ("query", "accept", "status", "code", "pointer"),
    [
        ("", "text/html", 406, "not-acceptable", "/accept"),
        ("?include=saliency", "image/png", 422, "parameter-invalid", "/include"),
        ("?include=overlay", "application/json", 422, "parameter-invalid", "/include"),
        ("?saliency_class=NORMAL", "application/json", 422, "parameter-invalid", "/saliency_class"),
        ("?saliency_class=flu", "image/png", 422, "parameter-invalid", "/saliency_class"),
    ],
)
def test_what_no_film_is_answered_with(
    client: AppClient, query: str, accept: str, status: int, code: str, pointer: str
) -> None:
    answer = client.post(f"/v1/radiograph{query}", files={"image": GOOD}, headers={"Accept": accept})
    problem = expect(answer, status, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert "flu" not in query or "COVID-19, NORMAL" in problem["detail"]


def test_parts_that_are_missing_or_strange(client: AppClient) -> None:
    expect(client.post("/v1/radiograph", files={"picture": GOOD}), 400, "part-problem")
    expect(client.post("/v1/radiograph", files=[("image", ("a", GOOD)), ("image", ("b", GOOD))]), 400, "part-problem")
    expect(client.post("/v1/radiograph", content=GOOD), 415, "unsupported-media")


def test_limits_are_settings(start: Start) -> None:
    small = start(limits={"film_side": 120, "image_side_minimum": 96})
    assert small.post("/v1/radiograph", files={"image": GOOD}).status_code == 200
    for data in (dicom(np.zeros((96, 121), np.uint8)), encode(np.zeros((96, 121), np.uint8))):
        assert expect(small.post("/v1/radiograph", files={"image": data}), 413, "image-too-large")["limit"] == 120
    expect(small.post("/v1/radiograph", files={"image": encode(chest()[:95])}), 422, "image-unsuitable")


def test_bytes_that_do_not_fit_are_refused_before_they_are_taken(client: AppClient) -> None:
    flat = saved(compressed(film(np.zeros((600, 600), int)), RLELossless))
    services = client.services
    with admit(services.admission) as reservation:
        # What is left holds the upload, which is a few kilobytes, and not the pixels.
        reservation.grow(services.settings.limits.inflight_bytes - 1_000_000)
        expect(client.post("/v1/radiograph", files={"image": flat}), 503, "overloaded")
    assert client.sample("maskgate_inflight_bytes") == 0
