"""`POST /v1/ct`: the answers."""

from __future__ import annotations

import gzip
import hashlib
import io
from base64 import b64decode
from itertools import permutations
from pathlib import Path
from typing import Any

import highdicom
import httpx
import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from tests.support.app_client import AppClient
from tests.support.cts import (
    AIR,
    COLUMN,
    DENSE,
    GLASS,
    OBLIQUE,
    ROW,
    SIDE,
    STEP,
    drawn_chest,
    marked,
    multi_frame,
    nifti,
    place_of_mark,
    places_in_seg,
    series,
    slices,
)
from tests.support.dicoms import SURNAME, compressed, ct, saved, zipped
from tests.support.pictures import decode, encode
from tests.support.places import SAMPLES
from tests.support.trivial_ct import CLASSES
from tests.support.validators import complaints

JSON = {"Accept": "application/json"}
NIFTI = {"Accept": "application/x-nifti"}
NRRD = {"Accept": "application/x-nrrd"}
DICOM = {"Accept": "application/dicom"}
BLOCK = np.s_[ROW : ROW + 2, COLUMN : COLUMN + 2]
# Oblique, anisotropic, mirrored: (x, y, z) of a voxel (i, j, k).
AFFINE = np.array([[-0.66, 0.12, 0.4, 90.5], [0.15, 0.71, 1.9, -120.25], [0.02, -0.41, 4.2, 33.0], [0, 0, 0, 1]])


def ask(client: AppClient, image: bytes, query: str = "", headers: dict[str, str] | None = None) -> httpx.Response:
    answer = client.post(f"/v1/ct{query}", files={"image": image}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def single(value: int = GLASS, **options: Any) -> bytes:
    return saved(ct(marked(value), BodyPartExamined="CHEST", **options))


@pytest.mark.parametrize(("value", "label"), [(AIR, 0), (GLASS, 1), (DENSE, 2), (300, 3)])
def test_a_slice_comes_back_as_a_png_of_its_labels(client: AppClient, value: int, label: int) -> None:
    answer = ask(client, single(value))
    labels = decode(answer.content)
    assert answer.headers["content-type"] == "image/png"
    assert labels.shape == (SIDE, SIDE)
    assert (labels[BLOCK] == label).all()
    assert np.count_nonzero(labels) == (4 if label else 0)


def test_every_answer_says_that_it_is_no_diagnosis_and_belongs_to_nobody_else(client: AppClient) -> None:
    data = single()
    for headers in ({}, JSON, NIFTI, DICOM):
        answer = ask(client, data, headers=headers)
        assert "not a diagnosis" in answer.headers["Maskgate-Notices"]
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["Maskgate-Model"] == "cogseg"
        assert SURNAME.lower() not in str(answer.headers).lower()
    report = ask(client, data, headers=JSON).json()
    assert report["notices"][0] == "a research demonstration, not a diagnosis"
    assert report["provenance"]["input_digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_series_is_measured_slice_by_slice_and_in_all(client: AppClient) -> None:
    report = ask(client, series(count=9, where=3), headers=JSON).json()
    assert report["spacing"] == {"rows": 0.7, "columns": 0.6, "slices": pytest.approx(2.5)}
    assert [one["number"] for one in report["slices"]] == list(range(9))
    assert [one["lesions"][0]["pixels"] for one in report["slices"]] == [0, 0, 0, 4, 0, 0, 0, 0, 0]
    marked_slice = report["slices"][3]
    assert marked_slice["imaged_pixels"] == SIDE * SIDE
    assert marked_slice["lesions"][0]["area_mm2"] == pytest.approx(4 * 0.7 * 0.6)
    assert marked_slice["lesions"][0]["imaged_share"] == pytest.approx(4 / SIDE**2, abs=1e-6)
    glass, dense, effusion = report["lesions"]
    assert glass["volume_ml"] == pytest.approx(4 * 0.7 * 0.6 * 2.5 / 1000, abs=1e-4)
    assert (glass["voxels"], dense["voxels"], effusion["voxels"]) == (4, 0, 0)
    assert [share["name"] for share in report["classes"]] == [spec.name for spec in CLASSES]
    assert sum(share["pixels"] for share in report["classes"]) == 9 * SIDE**2
    assert (report["width"], report["height"]) == (SIDE, SIDE)


def test_padding_is_not_of_the_imaged_field(client: AppClient) -> None:
    pixels = marked(GLASS)
    pixels[:10] = -1024 + 7
    report = ask(client, saved(ct(pixels, BodyPartExamined="CHEST", PixelPaddingValue=7)), headers=JSON).json()
    (only,) = report["slices"]
    assert only["imaged_pixels"] == (SIDE - 10) * SIDE
    assert only["lesions"][0]["imaged_share"] == pytest.approx(4 / only["imaged_pixels"], abs=1e-6)


def test_voxels_that_are_not_a_number_are_not_of_the_imaged_field(client: AppClient) -> None:
    image = nibabel.Nifti1Image.from_bytes(nifti(AFFINE))
    voxels = image.get_fdata(dtype=np.float32)
    whole = ask(client, nibabel.Nifti1Image(voxels, AFFINE).to_bytes(), headers=JSON).json()
    voxels[:, -10:] = np.nan
    report = ask(client, nibabel.Nifti1Image(voxels, AFFINE).to_bytes(), headers=JSON).json()
    assert report["lesions"] == [
        {**lesion, "imaged_share": pytest.approx(lesion["imaged_share"] * SIDE / (SIDE - 10), abs=1e-6)}
        for lesion in whole["lesions"]
    ]
    assert {one["imaged_pixels"] for one in report["slices"]} == {SIDE * (SIDE - 10)}
    assert f"outside the field of view: {5 * SIDE * 10}" in "; ".join(report["notices"])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_slices_are_answered_alike(client: AppClient, syntax: str) -> None:
    packed = saved(compressed(ct(marked(GLASS), BodyPartExamined="CHEST"), syntax))
    np.testing.assert_array_equal(decode(ask(client, packed).content), decode(ask(client, single()).content))


@pytest.mark.parametrize("packed", [False, True])
def test_a_marked_voxel_of_a_nifti_comes_back_where_it_was(client: AppClient, packed: bool) -> None:
    data = nifti(AFFINE)
    answer = ask(client, gzip.compress(data) if packed else data, headers=NIFTI)
    assert answer.headers["content-type"] == "application/x-nifti"
    labels = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    assert np.allclose(labels.affine, AFFINE, atol=1e-5)
    assert np.argwhere(np.asanyarray(labels.dataobj) == 1).tolist() == [
        [COLUMN + i, ROW + j, 3] for i in range(2) for j in range(2)
    ]


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0), OBLIQUE], ids=str)
def test_a_marked_voxel_of_a_series_comes_back_where_it_was(
    client: AppClient, tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    data, place = series(orientation=orientation), place_of_mark(orientation=orientation)

    labels = nibabel.Nifti1Image.from_bytes(gzip.decompress(ask(client, data, headers=NIFTI).content))
    first = np.argwhere(np.asanyarray(labels.dataobj))[0]
    right, front, head, _ = labels.affine @ [*first, 1]
    assert np.allclose((-right, -front, head), place, atol=1e-3)

    seg = ask(client, data, headers=DICOM).content
    places = places_in_seg(seg)
    assert len(places) == 4
    assert np.allclose(places[0], place, atol=1e-3)
    assert complaints(seg, tmp_path) == []


def test_a_seg_references_the_slice_it_is_of(client: AppClient) -> None:
    files = slices(5, 3)
    data = zipped((str(number), file) for number, file in enumerate(files))
    seg = pydicom.dcmread(io.BytesIO(ask(client, data, headers=DICOM).content))
    source = pydicom.dcmread(io.BytesIO(files[3]))
    (frame,) = seg.PerFrameFunctionalGroupsSequence
    referenced = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    assert referenced == source.SOPInstanceUID
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == [spec.name for spec in CLASSES[1:]]


def test_frames_of_a_multi_frame_file_keep_their_places(client: AppClient) -> None:
    data = multi_frame(count=4, where=1)
    report = ask(client, data, headers=JSON).json()
    assert [one["lesions"][0]["pixels"] for one in report["slices"]] == [0, 4, 0, 0]
    places = places_in_seg(ask(client, data, headers=DICOM).content)
    assert np.allclose(places[0], (COLUMN * 0.6, ROW * 0.7, 2.5))


@pytest.mark.parametrize(("model", "low", "high"), [("cogseg", -1250, 250), ("narrow", -1000, 400)])
def test_a_picture_is_taken_as_windowed_for_the_model(client: AppClient, model: str, low: int, high: int) -> None:
    units = marked(GLASS)
    # A unit beyond the edge of the next band, of which the other model's window would make the band before.
    units[:4, :4] = -296
    grey = np.rint((units - low) / (high - low) * 255).astype(np.uint8)
    answer = ask(client, encode(grey), f"?model={model}")
    labels = decode(answer.content)
    assert (labels[BLOCK] == 1).all()
    assert (labels[:4, :4] == 2).all()
    assert f"taken as windowed from {low} to {high} HU" in answer.headers["Maskgate-Notices"]


def test_a_picture_says_nothing_of_millimetres(client: AppClient) -> None:
    grey = np.rint((marked(GLASS) + 1250.0) / 1500 * 255).astype(np.uint8)
    report = ask(client, encode(grey), headers=JSON).json()
    assert report["spacing"] is None
    assert report["lesions"][0] | {"imaged_share": 0} == {
        "value": 1,
        "name": "ground-glass",
        "voxels": 4,
        "imaged_share": 0,
        "volume_ml": None,
    }


@pytest.mark.parametrize(("model", "low", "high"), [("cogseg", -1250, 250), ("narrow", -1000, 400)])
def test_the_overlay_shows_the_slice_as_the_model_sees_it(client: AppClient, model: str, low: int, high: int) -> None:
    picture = decode(ask(client, single(), f"?overlay=true&model={model}").content)
    assert picture.shape == (SIDE, SIDE, 3)
    air = round((AIR - low) / (high - low) * 255)
    assert picture[0, 0].tolist() == [air] * 3
    assert picture[ROW, COLUMN].tolist() == list(CLASSES[1].colour)


def test_one_run_can_bring_everything(client: AppClient) -> None:
    data = single()
    names = ("label_map", "overlay", "nifti", "dicom")
    report = ask(client, data, "?" + "&".join(f"include={name}" for name in names), JSON).json()
    files = {name: b64decode(content) for name, content in report["files"].items()}
    assert tuple(files) == names
    assert files["label_map"] == ask(client, data).content
    assert files["overlay"] == ask(client, data, "?overlay=true").content
    assert files["nifti"] == ask(client, data, headers=NIFTI).content
    assert len(places_in_seg(files["dicom"])) == 4


def test_a_volume_is_answered_in_numbers_where_the_caller_does_not_mind(client: AppClient) -> None:
    assert ask(client, series()).headers["content-type"] == "application/json"
    assert ask(client, nifti(AFFINE), headers={"Accept": "*/*"}).headers["content-type"] == "application/json"
    either = {"Accept": "image/png, application/x-nifti;q=0.5"}
    assert ask(client, nifti(AFFINE), headers=either).headers["content-type"] == "application/x-nifti"


@pytest.mark.parametrize(
    ("name", "accept", "works"),
    [
        ("series", "image/png", "application/json, application/x-nifti, application/x-nrrd, application/dicom"),
        ("nifti", "image/png", "application/json, application/x-nifti, application/x-nrrd"),
        ("nifti", "application/dicom", "application/json, application/x-nifti, application/x-nrrd"),
        ("picture", "application/dicom", "image/png, application/json"),
        ("picture", "application/x-nifti", "image/png, application/json"),
    ],
)
def test_what_an_input_cannot_be_answered_with_is_said_with_what_it_can(
    client: AppClient, name: str, accept: str, works: str
) -> None:
    made = {"series": series(), "nifti": nifti(AFFINE), "picture": encode(np.full((64, 64), 80, np.uint8))}
    answer = client.post("/v1/ct", files={"image": made[name]}, headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json()["detail"].endswith(f"Accept {works}.")
    assert answer.json()["errors"][0]["pointer"] == "/accept"


@pytest.mark.parametrize("query", ["?overlay=true", "?include=overlay", "?include=label_map"])
def test_pictures_are_of_single_slices(client: AppClient, query: str) -> None:
    headers = JSON if "include" in query else {}
    answer = client.post(f"/v1/ct{query}", files={"image": series()}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["code"] == "parameter-invalid"
    assert "this is a volume" in answer.json()["detail"]


def test_notices_tell_what_was_done(client: AppClient) -> None:
    notices = ask(client, saved(ct()), headers=JSON).json()["notices"]
    assert "the file does not say which part of the body it shows" in notices
    assert "slices resampled from 56×40 to 32×32 for the model" in notices


def test_slices_count_as_tiles(client: AppClient) -> None:
    before = client.sample("maskgate_tiles_total", model="cogseg")
    ask(client, series(count=7))
    assert client.sample("maskgate_tiles_total", model="cogseg") - before == 7


def test_bytes_are_reserved_as_long_as_they_are_held(client: AppClient) -> None:
    held: list[int] = []
    admission = client.services.admission
    original = admission.take

    def taking(amount: int) -> None:
        original(amount)
        held.append(int(client.sample("maskgate_inflight_bytes")))

    admission.take = taking  # type: ignore[method-assign]
    try:
        data = series(count=40)
        ask(client, data, headers=JSON)
        numbers, held[:] = max(held), []
        ask(client, data, headers=DICOM)
    finally:
        del admission.take
    assert max(held) - numbers == 4 * 40 * SIDE**2
    assert held[-1] == 0
    assert numbers > 2 * len(data)


@pytest.mark.parametrize("name", ["CT_small.dcm", "693_UNCR.dcm", "693_J2KI.dcm"])
def test_a_real_slice_is_answered_in_every_form(client: AppClient, tmp_path: Path, name: str) -> None:
    path = SAMPLES / "format_samples" / "dicom" / name
    if not path.is_file():
        pytest.skip(f"no real samples: ../shared/data/format_samples/dicom/{name} is not there")
    data = path.read_bytes()
    source = pydicom.dcmread(io.BytesIO(data))
    labels = decode(ask(client, data).content)
    assert labels.shape == (source.Rows, source.Columns)
    report = ask(client, data, headers=JSON).json()
    assert sum(share["pixels"] for share in report["classes"]) == labels.size
    if source.get("FrameOfReferenceUID"):
        assert complaints(ask(client, data, headers=DICOM).content, tmp_path) == []
    else:
        refused = client.post("/v1/ct", files={"image": data}, headers=DICOM)
        assert refused.status_code == 406
        assert "names no frame of reference" in refused.json()["detail"]
    back = nibabel.Nifti1Image.from_bytes(gzip.decompress(ask(client, data, headers=NIFTI).content))
    np.testing.assert_array_equal(np.asanyarray(back.dataobj)[..., 0].T, labels)


def test_one_volume_measures_alike_as_dicom_and_as_nifti_of_any_axes(client: AppClient) -> None:
    """Columns to the patient's left and rows to the back is what networks learnt from, whatever file they came in."""
    pixels = drawn_chest()
    pixels[18:34, 16:20] = GLASS
    step = 2.5
    files = [
        saved(ct(pixels, position=(-20, -30, step * k), instance=k, spacing=(0.7, 0.6), SliceThickness=step))
        for k in range(1, 5)
    ]
    series_answer = ask(client, zipped((str(k), file) for k, file in enumerate(files)), headers=JSON).json()
    expected = [one["volume_ml"] for one in series_answer["lesions"]]
    assert expected[0] > 0
    voxels = np.stack([pixels.T] * 4, axis=-1)
    affine = np.array([[-0.6, 0, 0, 20], [0, -0.7, 0, 30], [0, 0, step, step], [0, 0, 0, 1.0]])
    for order in permutations(range(3)):
        for flipped in (False, True):
            turned, placed = np.ascontiguousarray(voxels.transpose(order)), affine[:, [*order, 3]].copy()
            if flipped:
                turned = turned[::-1]
                placed[:3, 3] += placed[:3, 0] * (turned.shape[0] - 1)
                placed[:3, 0] *= -1
            answer = ask(client, nibabel.Nifti1Image(turned, placed).to_bytes(), headers=JSON).json()
            assert [one["volume_ml"] for one in answer["lesions"]] == pytest.approx(expected, rel=5e-3), order


def test_slices_are_named_by_their_file_and_place(client: AppClient) -> None:
    answer = ask(client, series(3, 1), headers=JSON).json()
    assert len({one["instance"] for one in answer["slices"]}) == 3
    steps = np.diff([one["position"] for one in answer["slices"]], axis=0)
    assert np.allclose(np.linalg.norm(steps, axis=1), STEP, atol=1e-3)


def test_an_offset_makes_units_of_stored_values(client: AppClient) -> None:
    deep = encode((drawn_chest().astype(np.int32) + 32768).astype(np.uint16))
    answer = ask(client, deep, "?offset=-32768", headers=JSON)
    assert "plus -32768" in " ".join(answer.json()["notices"])
    assert client.post("/v1/ct?offset=-1024", files={"image": single()}).status_code == 422


def test_the_caller_may_state_the_body_part(client: AppClient) -> None:
    abdomen = saved(ct(marked(GLASS), BodyPartExamined="ABDOMEN"))
    assert client.post("/v1/ct", files={"image": abdomen}).status_code == 422
    answer = ask(client, abdomen, "?body_part=chest", headers=JSON)
    assert "the caller says so" in " ".join(answer.json()["notices"])


def test_a_file_may_be_the_body_itself(client: AppClient) -> None:
    data = single()
    whole = ask(client, data, headers=JSON).json()
    for kind in ("application/dicom", "Application/DICOM; transfer-syntax=*"):
        answer = client.post("/v1/ct", content=data, headers={"Content-Type": kind, **JSON})
        assert answer.status_code == 200, answer.text
        assert answer.json() == whole
    zipped_series = client.post("/v1/ct", content=series(), headers={"Content-Type": "application/zip", **JSON})
    assert len(zipped_series.json()["slices"]) == 5
    refused = client.post("/v1/ct", content=data, headers={"Content-Type": "application/octet-stream"})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported-media")
    empty = client.post("/v1/ct", headers={"Content-Type": "application/dicom"})
    assert (empty.status_code, empty.json()["code"]) == (422, "image-unreadable")


def test_an_nrrd_lies_where_the_nifti_does(client: AppClient, tmp_path: Path) -> None:
    made = [series(), *(nifti(AFFINE[:, [*order, 3]], SIDE) for order in permutations(range(3)))]
    for data in made:
        file = tmp_path / "labels.nrrd"
        file.write_bytes(ask(client, data, headers=NRRD).content)
        labels, header = nrrd.read(str(file))
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(ask(client, data, headers=NIFTI).content))
        expected = np.asarray(image.dataobj)
        back = np.linalg.inv(image.affine) @ np.diag([-1, -1, 1, 1]) @ affine
        here = np.argwhere(labels > 0)
        there = (np.c_[here, np.ones(len(here))] @ back.T)[:, :3]
        assert there == pytest.approx(np.rint(there), abs=1e-3)
        assert (expected[tuple(np.rint(there).astype(int).T)] == labels[labels > 0]).all()
        assert len(here) == np.count_nonzero(expected) > 0
        assert header["space"] == "left-posterior-superior"
        assert [header[f"Segment{number}_Name"] for number in range(3)] == [spec.name for spec in CLASSES[1:]]


def test_a_report_measures_the_segments_of_the_seg_beside_it(client: AppClient, tmp_path: Path) -> None:
    told = ask(client, series(), "?include=report", JSON).json()
    seg, report = (b64decode(told["files"][form]) for form in ("dicom", "report"))
    assert complaints(report, tmp_path) == []
    document = highdicom.sr.srread(io.BytesIO(report))
    content: Any = document.content
    groups = content.get_volumetric_roi_measurement_groups()
    found = {group.tracking_identifier: group.get_measurements()[0].value for group in groups}
    assert found == {lesion["name"]: pytest.approx(lesion["volume_ml"], abs=1e-6) for lesion in told["lesions"]}
    segments = pydicom.dcmread(io.BytesIO(seg))
    assert [group.referenced_segment.referenced_sop_instance_uid for group in groups] == [segments.SOPInstanceUID] * 3
    assert [group.referenced_segment.referenced_segment_numbers for group in groups] == [[1], [2], [3]]
    assert document.PatientID == segments.PatientID
    assert document.StudyInstanceUID == segments.StudyInstanceUID


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: nifti(AFFINE), "these are none"),
        (lambda: single(SliceThickness=None), "how thick"),
        (lambda: single(FrameOfReferenceUID=None), "frame of reference"),
    ],
)
def test_a_report_is_of_what_can_be_measured(client: AppClient, data: Any, words: str) -> None:
    refused = client.post("/v1/ct?include=report", files={"image": data()}, headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (422, "parameter-invalid")
    assert words in refused.json()["detail"]
