"""CT through a gateway as a process: nothing of a patient stays anywhere, whatever is sent and however it ends."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import nibabel
import numpy as np
import pytest

from tests.support.cts import GLASS, TISSUE, marked, slices
from tests.support.dicoms import NAME, SURNAME, ct, saved, zipped
from tests.support.patient import everywhere, in_place_of
from tests.support.processes import GatewayProcess, files_of_its_own, gateway
from tests.support.trivial_ct import write_trivial_ct

pytestmark = pytest.mark.e2e

FORMS = ("application/json", "image/png", "application/dicom", "application/x-nifti")
PLANTED = ("BodyPartExamined", "ImageType", "Modality", "PixelSpacing", "RescaleSlope", "Rows", "SOPClassUID")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def server(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayProcess]:
    write_trivial_ct(tmp_path / "models")
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("PYTHONWARNINGS", "always")
    with gateway(tmp_path / "models", LOG_LEVEL="DEBUG") as process:
        yield process


def good() -> list[bytes]:
    """Return CTs with the name in every text."""
    full = everywhere(ct(marked(GLASS), BodyPartExamined="CHEST"))
    voxels = np.full((64, 64, 3), GLASS, np.int16)
    voxels[:8] = TISSUE
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header["descrip"] = NAME.encode()
    series = zipped((f"{NAME}/{number}.dcm", file) for number, file in enumerate(slices(4, 2, StudyDescription=NAME)))
    return [full, series, gzip.compress(image.to_bytes())]


def bad() -> list[bytes]:
    """Return files with the name in them that are refused, each elsewhere."""
    full = everywhere(ct())
    cut = [full[:length] for length in (140, 400, len(full) // 2, len(full) - 99)]
    planted = [in_place_of(keyword, ct()) for keyword in PLANTED]
    other = saved(ct(PatientName=f"Also^{SURNAME}", position=(0, 0, 9), instance=9))
    zips = [zipped([("1", full), ("2", other)]), zipped([(f"../{NAME}", full)]), zipped([(NAME, full)])[:-40]]
    return [*cut, *planted, *zips, NAME.encode(), gzip.compress(NAME.encode() * 100)]


def test_nothing_of_a_patient_is_written_or_kept(server: GatewayProcess, scratch: Path) -> None:
    statuses = []
    before = files_of_its_own(server, scratch)
    with httpx.Client(base_url=server.address, timeout=60) as client:

        def post(data: bytes, accept: str) -> httpx.Response:
            answer = client.post(
                "/v1/ct",
                files={"image": (f"{NAME}.dcm", data)},
                headers={"Accept": accept, "Referer": "https://ward.example"},
            )
            statuses.append(answer.status_code)
            assert SURNAME not in str(answer.headers)
            assert set(scratch.iterdir()) == before
            return answer

        for data in good():
            for form in FORMS:
                answer = post(data, form)
                # A SEG is filed under its patient, as its source is; nothing else says who it was.
                assert form == "application/dicom" or SURNAME.encode() not in answer.content
        for data in bad():
            assert SURNAME.lower() not in post(data, "application/json").text.lower()
        metrics = client.get("/metrics").text
    assert statuses.count(200) >= 9
    assert len([status for status in statuses if 400 <= status < 500]) >= len(bad())
    assert not [status for status in statuses if status >= 500]
    said = "".join(server.output) + metrics
    assert said.count("/v1/ct") >= 1
    assert SURNAME.lower() not in said.lower()
    assert not [file for file in scratch.iterdir() if SURNAME.encode() in file.read_bytes()]


def test_a_process_that_is_killed_leaves_nothing_behind(server: GatewayProcess, scratch: Path) -> None:
    body = httpx.Request("POST", f"{server.address}/v1/ct", files={"image": (NAME, everywhere(ct(marked(GLASS))))})
    content, address = body.read(), urlsplit(server.address)
    assert address.hostname is not None
    before = files_of_its_own(server, scratch)
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as connection:
        head = f"POST /v1/ct HTTP/1.1\r\nHost: x\r\nContent-Type: {body.headers['Content-Type']}\r\n"
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:-100])
        _until_inflight(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
    assert set(scratch.iterdir()) == before
    assert SURNAME not in "".join(server.output)


def _until_inflight(server: GatewayProcess) -> None:
    """Wait until the process holds an upload."""
    deadline = time.monotonic() + 10
    while "maskgate_inflight_requests 1.0" not in httpx.get(f"{server.address}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
