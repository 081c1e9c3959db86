"""Radiographs through a gateway as a process: the command's way, and nothing of a patient written or kept anywhere."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from maskgate_client import Client, Rejected
from maskgate_client.cli import main
from pydicom.uid import JPEGLSLossless

from tests.support.dicoms import NAME, SURNAME, compressed, film
from tests.support.films import COLUMNS, ROWS, chest
from tests.support.patient import everywhere, in_place_of
from tests.support.pictures import decode
from tests.support.places import SAMPLES
from tests.support.processes import GatewayProcess, files_of_its_own, gateway
from tests.support.trivial_radiograph import write_trivial_radiograph

pytestmark = pytest.mark.e2e

PLANTED = ("BodyPartExamined", "Modality", "WindowCenter", "Rows", "RescaleSlope", "PhotometricInterpretation")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def server(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayProcess]:
    for name in ("cxr-a", "cxr-b"):
        write_trivial_radiograph(tmp_path / "models", name)
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("PYTHONWARNINGS", "always")
    with gateway(tmp_path / "models", LOG_LEVEL="DEBUG") as process:
        yield process


def stored() -> bytes:
    """Return a sound film with the name in every text."""
    return everywhere(film(chest(), bits=8, WindowCenter=128, WindowWidth=256))


def good() -> list[bytes]:
    """Return films with the name in them that are answered."""
    packed = everywhere(compressed(film(chest(), bits=8), JPEGLSLossless))
    return [stored(), packed, in_place_of("SOPClassUID", film(chest()))]


def bad() -> list[bytes]:
    """Return files with the name in them that are refused, each elsewhere."""
    full = stored()
    cut = [full[:length] for length in (140, 400, len(full) // 2, len(full) - 99)]
    planted = [in_place_of(keyword, film(chest())) for keyword in PLANTED]
    return [*cut, *planted, everywhere(film(chest(), BodyPartExamined="LEG")), NAME.encode()]


def test_nothing_of_a_patient_is_written_or_kept(server: GatewayProcess, scratch: Path) -> None:
    statuses = []
    before = files_of_its_own(server, scratch)
    with httpx.Client(base_url=server.address, timeout=60) as client:

        def post(data: bytes, query: str, accept: str) -> httpx.Response:
            answer = client.post(
                f"/v1/radiograph{query}",
                files={"image": (f"{NAME}.dcm", data)},
                headers={"Accept": accept, "Referer": "https://ward.example"},
            )
            statuses.append(answer.status_code)
            assert SURNAME.lower() not in str(answer.headers).lower()
            assert SURNAME.lower().encode() not in answer.content.lower()
            assert set(scratch.iterdir()) == before
            return answer

        for data in good():
            assert decode(post(data, "", "image/png").content).shape == (ROWS, COLUMNS, 3)
            answer = post(data, "?include=saliency", "application/json")
            assert answer.headers["Cache-Control"] == "private, no-store"
            assert SURNAME.encode() not in b64decode(answer.json()["pictures"]["saliency"])
        for data in bad():
            post(data, "", "application/json")
        post(stored(), f"?model={NAME}", "application/json")
        post(stored(), f"?saliency_class={NAME}", "image/png")
        metrics = client.get("/metrics").text
    assert statuses.count(200) == 2 * len(good())
    assert len([status for status in statuses if 400 <= status < 500]) == len(bad()) + 2
    said = "".join(server.output) + metrics
    assert said.count("/v1/radiograph") >= 1
    assert SURNAME.lower() not in said.lower()
    assert not [file for file in scratch.iterdir() if SURNAME.encode() in file.read_bytes()]


def test_real_films_are_scored_and_the_real_film_of_a_leg_is_not(
    server: GatewayProcess, scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, leg = SAMPLES / "cxr_covid_cls" / "images", SAMPLES / "format_samples" / "dicom" / "RG3_J2KI.dcm"
    if not (films.is_dir() and leg.is_file()):
        pytest.skip("no real samples: ../shared/data/cxr_covid_cls and format_samples/dicom are not there")
    files_of_its_own(server, scratch)
    real, out = sorted(films.glob("*.jpg"))[0], tmp_path / "saliency.png"
    assert main(["radiograph", str(real), "--url", server.address, "--saliency", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [entry["provenance"]["model"] for entry in answer["models"]] == ["cxr-a", "cxr-b"]
    assert decode(out.read_bytes()).shape == (answer["height"], answer["width"], 3)
    with Client(server.address) as client, pytest.raises(Rejected) as refused:
        client.radiograph(leg)
    assert refused.value.code == "body-part-unsuitable"
