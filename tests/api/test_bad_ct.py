"""Every bad CT is a clear problem document of its own, none a 500, and the next request is unharmed."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest
from pydantic import ValidationError
from pydicom.uid import EncapsulatedPDFStorage, RLELossless, generate_uid

from gateway.settings import Settings
from tests.api.conftest import Start
from tests.support.app_client import AppClient
from tests.support.cts import GLASS, drawn_chest, marked, nifti, series, slices
from tests.support.dicoms import NAME, SURNAME, compressed, ct, enhanced, film, ramp, saved, saved_as, zipped
from tests.support.pictures import encode, noise

GOOD = saved(ct(marked(GLASS), BodyPartExamined="CHEST"))


@pytest.fixture(autouse=True)
def _next_request_is_unharmed(client: AppClient) -> Iterator[None]:
    yield
    assert client.post("/v1/ct", files={"image": GOOD}).status_code == 200
    assert client.sample("maskgate_inflight_bytes") == 0


def expect(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["detail"].endswith(".")
    for leak in ("Traceback", "pydicom", "nibabel", "object at 0x", ".py", SURNAME, SURNAME.upper()):
        assert leak not in answer.text
    return problem


def without_pixels() -> bytes:
    return saved(ct(PixelData=None))


def document() -> bytes:
    dataset = ct(PixelData=None, Rows=None, Columns=None, SOPClassUID=EncapsulatedPDFStorage)
    dataset.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    dataset.add_new("EncapsulatedDocument", "OB", b"%PDF-1.7 " + NAME.encode())
    return saved(dataset)


def lying() -> bytes:
    return saved(ct(Rows=4000, Columns=4000)).replace(b"\xa0\x0f", b"\xd0\x07")


def of_unknown_syntax() -> bytes:
    return saved(ct()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")


def damaged_compressed() -> bytes:
    data = saved(compressed(ct(), RLELossless))
    return data[:-600] + bytes(592) + b"\xfe\xff\xdd\xe0\0\0\0\0"


def of_nothing(value: float) -> bytes:
    voxels = np.full((64, 64, 3), value, np.float32)
    data: bytes = nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes()
    return data


def of_four_dimensions() -> bytes:
    data: bytes = nibabel.Nifti1Image(np.zeros((64, 64, 3, 2), np.int16), np.eye(4)).to_bytes()
    return data


def of_two_patients() -> bytes:
    other = saved(ct(PatientName="Somebody^Else", PatientID="2", position=(0, 0, 9), instance=9))
    return zipped([("1", saved(ct())), ("2", other)])


def of_two_series() -> bytes:
    other = saved(ct(SeriesInstanceUID=generate_uid(), position=(0, 0, 9), instance=9))
    return zipped([("1", saved(ct())), ("2", other)])


def with_gap() -> bytes:
    files = slices(6, 2)
    return zipped((str(number), file) for number, file in enumerate(files) if number != 3)


def twice() -> bytes:
    """Return a series with two files of one identifier that differ."""
    files = slices(3, 1)
    changed = bytearray(files[0])
    changed[-1] ^= 1
    return zipped((str(number), file) for number, file in enumerate([*files, bytes(changed)]))


def without_offset() -> bytes:
    """Return NIfTI of stored values, 1024 above Hounsfield units."""
    voxels = np.stack([drawn_chest() + 1024] * 3, axis=-1).astype(np.uint16)
    data: bytes = nibabel.Nifti1Image(voxels, np.diag([-1.0, -1.0, 2.0, 1.0])).to_bytes()
    return data


def deep_picture() -> bytes:
    """Return a PNG of stored values, 32768 above Hounsfield units."""
    return encode((drawn_chest().astype(np.int32) + 32768).astype(np.uint16))


def bomb() -> bytes:
    return zipped((f"{number}", bytes(32 << 20)) for number in range(4))


def climbing() -> bytes:
    return zipped([("../../etc/cron.d/evil", saved(ct()))])


def nested() -> bytes:
    return zipped([("inner.zip", series())])


def encrypted() -> bytes:
    data = bytearray(zipped([("1", saved(ct()))], zipfile.ZIP_STORED))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + at] |= 1
    return bytes(data)


def of_many_files() -> bytes:
    return zipped((str(number), b"") for number in range(4001))


def with_third_row_of_affine(*values: float) -> bytes:
    data = bytearray(nifti(np.eye(4)))
    data[252:256] = struct.pack("<hh", 0, 1)  # of qform and sform, the latter alone
    data[312:328] = struct.pack("<4f", *values)
    return bytes(data)


def truncated_gzip() -> bytes:
    voxels = np.random.default_rng(0).integers(-1000, 400, (64, 64, 40)).astype(np.int16)
    return gzip.compress(nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes())[:-90_000]


BAD: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "empty": (lambda: b"", 422, "image-unreadable"),
    "text": (lambda: b"not a CT at all", 415, "unsupported-media"),
    "gzip of something else": (lambda: gzip.compress(bytes(9000)), 415, "unsupported-media"),
    "DICOM without pixels": (without_pixels, 422, "pixels-missing"),
    "encapsulated PDF": (document, 422, "pixels-missing"),
    "of a leg": (lambda: saved(ct(BodyPartExamined="LEG")), 422, "body-part-unsuitable"),
    "a radiograph": (lambda: saved(film(ramp() + 1000)), 422, "modality-unsuitable"),
    "a scout view": (lambda: saved(ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])), 422, "image-unsuitable"),
    "unknown transfer syntax": (of_unknown_syntax, 415, "compression-unsupported"),
    "deflated and cut off": (lambda: saved_as(ct(), "1.2.840.10008.1.2.1.99")[:-300], 422, "image-unreadable"),
    "truncated DICOM": (lambda: GOOD[:-1000], 422, "image-unreadable"),
    "truncated in its header": (lambda: GOOD[:300], 422, "pixels-missing"),
    "lying about its size": (lying, 422, "image-unreadable"),
    "damaged compression": (damaged_compressed, 422, "image-unreadable"),
    "percent instead of Hounsfield units": (lambda: saved(ct(RescaleType="PCT")), 422, "image-unsuitable"),
    "NIfTI that wants its offset": (without_offset, 422, "units-implausible"),
    "PNG of 16 bits that wants its offset": (deep_picture, 422, "units-implausible"),
    "without rescaling": (lambda: saved(ct(RescaleSlope=None)), 422, "image-unsuitable"),
    "in colour": (lambda: saved(ct(SamplesPerPixel=3)), 422, "colour-unsuitable"),
    "too large a slice": (lambda: saved(ct(np.zeros((40, 2049), np.int16))), 413, "image-too-large"),
    "too small a slice": (lambda: saved(ct(ramp(31, 40))), 422, "image-unsuitable"),
    "series of two patients": (of_two_patients, 422, "series-mixed"),
    "two series": (of_two_series, 422, "series-mixed"),
    "series with a gap": (with_gap, 422, "series-gap"),
    "series with a slice twice": (twice, 422, "series-duplicate"),
    "multi-frame with a gap": (
        lambda: saved(enhanced([ramp()] * 3, [(0, 0, 0), (0, 0, 1), (0, 0, 9)])),
        422,
        "series-gap",
    ),
    "zip bomb": (bomb, 413, "archive-too-large"),
    "zip of too many files": (of_many_files, 413, "archive-too-large"),
    "zip that climbs out": (climbing, 422, "archive-unsuitable"),
    "zip in a zip": (nested, 422, "archive-unsuitable"),
    "encrypted zip": (encrypted, 422, "archive-unsuitable"),
    "truncated zip": (lambda: series()[:-30], 422, "archive-unsuitable"),
    "zip without DICOM": (lambda: zipped([("readme.txt", b"hello")]), 422, "archive-unsuitable"),
    "NIfTI of no number": (lambda: of_nothing(np.nan), 422, "image-unsuitable"),
    "NIfTI of infinities": (lambda: of_nothing(np.inf), 422, "image-unsuitable"),
    "NIfTI of four dimensions": (of_four_dimensions, 422, "image-unsuitable"),
    "truncated NIfTI": (lambda: nifti(np.eye(4))[:-100], 422, "image-unreadable"),
    "truncated NIfTI, gzipped": (truncated_gzip, 422, "image-unreadable"),
    "NIfTI cut off at its end, gzipped": (lambda: gzip.compress(nifti(np.eye(4)))[:-9], 422, "image-unreadable"),
    "NIfTI cut off in its header, gzipped": (lambda: gzip.compress(nifti(np.eye(4)))[:60], 422, "image-unreadable"),
    "NIfTI cut off at once, gzipped": (lambda: gzip.compress(nifti(np.eye(4)))[:12], 422, "image-unreadable"),
    "NIfTI cut off in its header": (lambda: nifti(np.eye(4))[:200], 422, "image-unreadable"),
    "NIfTI cut off in its voxels": (lambda: nifti(np.eye(4))[:-1], 422, "image-unreadable"),
    "flat NIfTI": (lambda: with_third_row_of_affine(0, 0, 0, 0), 422, "geometry-unsuitable"),
    "NIfTI that lies nowhere": (lambda: with_third_row_of_affine(0, 0, np.inf, 0), 422, "geometry-unsuitable"),
    "colour photograph": (lambda: encode(noise(96, 96)), 422, "colour-unsuitable"),
    "colour photograph as JPEG": (lambda: encode(noise(96, 96), "JPEG"), 422, "colour-unsuitable"),
    "truncated PNG": (lambda: encode(noise(96, 96)[..., 0])[:900], 422, "image-unreadable"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_image(client: AppClient, name: str) -> None:
    make, status, code = BAD[name]
    answer = client.post("/v1/ct", files={"image": (f"{NAME}.dcm", make())})
    problem = expect(answer, status, code)
    assert problem["errors"][0]["pointer"] == "/image"
    assert ("limit" in problem) == (status == 413)


def test_limits_are_settings(start: Start) -> None:
    limits = {"volume_slices": 4, "slice_side": 64, "volume_voxels": 3 * 64 * 64}
    small = start(limits=limits)
    at_limit = zipped((str(number), file) for number, file in enumerate(slices(3, 1)))
    assert small.post("/v1/ct", files={"image": at_limit}).status_code == 200
    expected = {5: 4, 4: 3 * 64 * 64}
    for count, limit in expected.items():
        data = zipped((str(number), file) for number, file in enumerate(slices(count, 1)))
        assert expect(small.post("/v1/ct", files={"image": data}), 413, "image-too-large")["limit"] == limit
    wide = saved(ct(np.zeros((40, 65), np.int16)))
    assert expect(small.post("/v1/ct", files={"image": wide}), 413, "image-too-large")["limit"] == 64


# Of a largest CT: its body and a copy, a file of a series, a slice, and of all slices headers and label maps.
LIMITS = {
    "body_bytes": 1 << 20,
    "image_pixels": 64 * 64,
    "series_file_bytes": 100_000,
    "slice_side": 64,
    "volume_slices": 40,
    "volume_voxels": 40 * 64 * 64,
}
LARGEST = 2 * (1 << 20) + 100_000 + 20 * 64 * 64 + 40 * 32 * 1024 + 4 * 40 * 64 * 64


def largest() -> bytes:
    """Return a body of one CT that is at every limit, or a little below that of the body."""
    file = enhanced([marked(GLASS)] * 40, [(0, 0, height) for height in range(40)], BodyPartExamined="CHEST")
    file.private_block(0x0009, "PADDING", create=True).add_new(1, "OB", bytes(LIMITS["body_bytes"] - 400_000))
    return saved(file)


def largest_series() -> bytes:
    """Return the same as a zip of a file per slice."""
    files = {f"{number:03d}": content for number, content in enumerate(slices(40, 3))}
    rest = LIMITS["body_bytes"] - len(zipped(files.items()))
    padding = [(str(number), os.urandom(90_000)) for number in range(rest // 91_000)]
    return zipped([*files.items(), *padding])


@pytest.mark.parametrize(("make", "copies"), [(largest, 2), (largest_series, 1)])
def test_a_largest_ct_fits_where_the_settings_just_allow_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, make: Callable[[], bytes], copies: int
) -> None:
    client = start(limits=LIMITS | {"inflight_bytes": LARGEST})
    data, held, take = make(), [], client.services.admission.take

    def taking(amount: int) -> None:
        take(amount)
        held.append(client.sample("maskgate_inflight_bytes"))

    monkeypatch.setattr(client.services.admission, "take", taking)
    answer = client.post("/v1/ct", files={"image": data}, headers={"Accept": "application/dicom"})
    assert answer.status_code == 200
    assert len(data) > 0.85 * LIMITS["body_bytes"]
    needed = LARGEST - 2 * LIMITS["body_bytes"] + copies * len(data)
    # What the form puts around the file counts too.
    assert needed <= max(held) <= needed + 1000, "the settings ask for what a largest CT takes, and no more"
    assert held[-1] == 0


def test_settings_under_which_a_largest_ct_could_never_be_served_are_refused() -> None:
    assert Settings(limits=LIMITS | {"inflight_bytes": LARGEST}).limits.inflight_bytes == LARGEST
    with pytest.raises(ValidationError, match=f"inflight_bytes must be at least {LARGEST}"):
        Settings(limits=LIMITS | {"inflight_bytes": LARGEST - 1})


def test_bytes_that_do_not_fit_are_refused_before_they_are_taken(start: Start) -> None:
    client = start(limits=LIMITS | {"inflight_bytes": LARGEST})
    admission = client.services.admission
    admission.take(LARGEST - 300_000)
    expect(client.post("/v1/ct", files={"image": largest()}), 503, "overloaded")
    assert client.sample("maskgate_inflight_bytes") == LARGEST - 300_000


def test_unknown_model_names_the_ones_there_are(client: AppClient) -> None:
    problem = expect(client.post("/v1/ct?model=trivial", files={"image": GOOD}), 404, "model-not-found")
    assert "cogseg" in problem["detail"]
    expect(client.post("/v1/ct?version=7", files={"image": GOOD}), 404, "version-not-found")


def test_what_no_ct_is_answered_with(client: AppClient) -> None:
    answer = client.post("/v1/ct", files={"image": GOOD}, headers={"Accept": "text/html"})
    assert "application/dicom" in expect(answer, 406, "not-acceptable")["detail"]
    answer = client.post("/v1/ct?overlay=true", files={"image": GOOD}, headers={"Accept": "application/dicom"})
    expect(answer, 422, "parameter-invalid")
    expect(client.post("/v1/ct?include=nifti", files={"image": GOOD}), 422, "parameter-invalid")


def test_parts_that_are_missing_or_strange(client: AppClient) -> None:
    expect(client.post("/v1/ct", files={"picture": GOOD}), 400, "part-problem")
    expect(client.post("/v1/ct", files=[("image", ("a", GOOD)), ("image", ("b", GOOD))]), 400, "part-problem")
    expect(client.post("/v1/ct", content=io.BytesIO(GOOD).read()), 415, "unsupported-media")
