"""Once around a real archive: a series is stored, segmented from there, and SEG and report lie beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom
import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.uid import generate_uid

from tests.support.cts import COLUMN_SPACING, ROW_SPACING, STEP, slices
from tests.support.dicoms import SERIES, STUDY, SURNAME
from tests.support.orthanc import PASSWORD, USER, Orthanc, orthanc, store
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial_ct import write_trivial_ct
from tests.support.validators import complaints

pytestmark = pytest.mark.e2e

COUNT, LESION = 12, 5
# 2×2 pixels in one slice.
VOLUME_ML = 4 * ROW_SPACING * COLUMN_SPACING * STEP / 1000
HERE = {"source": "dicomweb", "study": STUDY, "series": SERIES}


@pytest.fixture(scope="module")
def archive() -> Iterator[Orthanc]:
    with orthanc() as running:
        store(running, slices(COUNT, LESION))
        yield running


@pytest.fixture(scope="module")
def server(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("models")
    write_trivial_ct(root)
    with gateway(root, LOG_LEVEL="DEBUG", **archive.settings) as process:
        yield process
        said = "".join(process.output)
        assert "Traceback" not in said
        for secret in (SURNAME, STUDY, SERIES, PASSWORD):
            assert secret not in said


@pytest.fixture
def reader(archive: Orthanc) -> DICOMwebClient:
    return DICOMwebClient(archive.dicomweb, session=create_session_from_user_pass(USER, PASSWORD))


def ask(server: GatewayProcess, accept: str = "application/json", **query: str) -> httpx.Response:
    return httpx.post(f"{server.address}/v1/ct", params={**HERE, **query}, headers={"Accept": accept}, timeout=120)


def test_a_series_goes_once_around(server: GatewayProcess, reader: DICOMwebClient, tmp_path: Path) -> None:
    answer = ask(server, store="report")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [one["lesions"][0]["pixels"] for one in told["slices"]] == [4 * (n == LESION) for n in range(COUNT)]
    assert told["lesions"][0]["volume_ml"] == pytest.approx(VOLUME_ML, abs=1e-4)
    assert [file["form"] for file in told["stored"]] == ["dicom", "report"]
    assert told["files"] == {}

    listed = reader.search_for_series(study_instance_uid=STUDY)
    kinds = {entry["0020000E"]["Value"][0]: entry["00080060"]["Value"][0] for entry in listed}
    for file, kind in zip(told["stored"], ("SEG", "SR"), strict=True):
        assert kinds[file["series"]] == kind
    seg, report = (reader.retrieve_instance(STUDY, file["series"], file["instance"]) for file in told["stored"])
    data = [_saved(seg), _saved(report)]
    assert [complaints(one, tmp_path) for one in data] == [[], []]

    segmentation = highdicom.seg.segread(io.BytesIO(data[0]))
    assert segmentation.StudyInstanceUID == STUDY
    voxels = segmentation.get_volume(combine_segments=True)
    assert np.count_nonzero(voxels.array == 1) * np.prod(voxels.spacing) / 1000 == pytest.approx(VOLUME_ML, abs=1e-6)
    document = highdicom.sr.srread(io.BytesIO(data[1]))
    content: Any = document.content
    groups = content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["ground-glass", "consolidation", "pleural effusion"]
    (measurement,) = groups[0].get_measurements()
    assert measurement.value == pytest.approx(VOLUME_ML, abs=1e-4)
    assert measurement.unit.value == "ml"
    assert groups[0].referenced_segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID


def test_only_what_is_asked_for_is_stored(server: GatewayProcess, reader: DICOMwebClient) -> None:
    before = len(reader.search_for_series(study_instance_uid=STUDY))
    plain = ask(server, "application/dicom")
    assert plain.status_code == 200, plain.text
    assert "Maskgate-Stored" not in plain.headers
    assert len(reader.search_for_series(study_instance_uid=STUDY)) == before
    kept = ask(server, "application/dicom", store="dicom")
    seg = pydicom.dcmread(io.BytesIO(kept.content))
    assert kept.headers["Maskgate-Stored"] == f"dicom={seg.SOPInstanceUID}"
    back = reader.retrieve_instance(STUDY, seg.SeriesInstanceUID, seg.SOPInstanceUID)
    assert (back.pixel_array == seg.pixel_array).all()


def test_one_series_is_one_input_however_the_archive_orders_it(server: GatewayProcess) -> None:
    first, second = (ask(server).json() for _ in range(2))
    assert first["provenance"]["input_digest"] == second["provenance"]["input_digest"]


def test_a_single_slice_is_answered_as_one(archive: Orthanc, server: GatewayProcess) -> None:
    study, series = generate_uid(), generate_uid()
    store(archive, slices(1, 0, StudyInstanceUID=study, SeriesInstanceUID=series))
    answer = ask(server, "image/png", study=study, series=series)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"


def test_what_the_archive_has_not_or_hides_is_told(archive: Orthanc, server: GatewayProcess, tmp_path: Path) -> None:
    absent = ask(server, series="1.2.3")
    assert (absent.status_code, absent.json()["code"]) == (404, "series-not-found")
    write_trivial_ct(tmp_path)
    with gateway(tmp_path, **{**archive.settings, "PACS_PASSWORD": "wrong"}) as locked:
        refused = ask(locked)
    assert (refused.status_code, refused.json()["code"]) == (502, "pacs-failed")
    assert "credentials" in refused.json()["detail"]


def _saved(dataset: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
