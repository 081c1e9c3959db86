"""Radiographs through the clients: what is sent, what is read, and what the command prints and saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client import FilmProvenance, FilmReport, FilmVerdict
from maskgate_client.cli import main

DICOM = bytes(128) + b"DICM" + b"and so on"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "Jane Doe.dcm"
    path.write_bytes(DICOM)
    return path


def test_a_report_says_what_the_gateway_said(ask: Any, gateway: Any) -> None:
    report: FilmReport = ask(
        "radiograph", DICOM, threshold=0.3, include=["saliency"], saliency_class="COVID-19", version=2, model="m"
    )
    assert report.scores == {"COVID-19": 0.25, "NORMAL": 0.75}
    assert (report.model, report.label, report.threshold) == ("ensemble", "NORMAL", 0.5)
    assert (report.width, report.height) == (512, 400)
    assert report.models[1] == FilmVerdict(
        {"COVID-19": 0.4, "NORMAL": 0.6},
        "COVID-19",
        0.3,
        FilmProvenance("cxr-inceptionv3", 1, "sha256:00", "embedded", "sha256:11", "0.1.0"),
    )
    assert report.provenance == FilmProvenance("ensemble", None, None, "embedded", "sha256:11", "0.1.0")
    assert report.pictures == {"saliency": b"saliency"}
    assert report.saliency_class == "COVID-19"
    assert report.notices == ("a research demonstration, not a diagnosis",)
    assert "pictures" not in report.document
    (request,) = gateway.requests
    assert request.headers["accept"] == "application/json"
    assert dict(request.url.params) == {
        "model": "m",
        "version": "2",
        "threshold": "0.3",
        "include": "saliency",
        "saliency_class": "COVID-19",
    }
    body = request.read()
    assert b'name="image"; filename="image"' in body
    assert DICOM in body


def test_nothing_is_asked_for_that_the_caller_did_not(ask: Any, gateway: Any) -> None:
    report: FilmReport = ask("radiograph", np.zeros((8, 9, 3), np.uint8))
    assert (report.pictures, report.saliency_class) == ({}, None)
    assert dict(gateway.requests[0].url.params) == {}
    assert b"\x89PNG" in gateway.requests[0].read()


def test_the_command_prints_each_model_and_the_mean(
    gateway: Any, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["radiograph", str(film), "--threshold", "0.4"], transport=gateway.transport) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "model            COVID-19  NORMAL  label",
        "cxr-densenet201  0.1000    0.9000  NORMAL",
        "cxr-inceptionv3  0.4000    0.6000  COVID-19",
        "ensemble         0.2500    0.7500  NORMAL",
    ]
    assert "note: a research demonstration, not a diagnosis" in said.err
    assert dict(gateway.requests[0].url.params) == {"threshold": "0.4"}
    assert b"Jane" not in gateway.requests[0].read()


def test_the_command_saves_the_picture_it_is_asked_for(
    gateway: Any, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "saliency.png"
    arguments = ["radiograph", str(film), "--saliency", str(out), "--saliency-class", "COVID-19"]
    assert main(arguments, transport=gateway.transport) == 0
    assert out.read_bytes() == b"saliency"
    assert f"Saved {out}: the evidence for COVID-19" in capsys.readouterr().out


def test_the_command_prints_the_answer_in_json(gateway: Any, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["radiograph", str(film), "--json", "--model", "cxr-densenet201"], transport=gateway.transport) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == {"COVID-19": 0.25, "NORMAL": 0.75}
    assert dict(gateway.requests[0].url.params) == {"model": "cxr-densenet201"}


def test_a_class_without_a_picture_is_misuse(gateway: Any, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["radiograph", str(film), "--saliency-class", "NORMAL"], transport=gateway.transport) == 2
    assert "--saliency" in capsys.readouterr().err
    assert gateway.requests == []


def test_the_command_says_why_the_gateway_refuses(
    gateway: Any, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {"title": "Body part", "code": "body-part-unsuitable", "detail": "It is a leg.", "status": 422}
    gateway.instead = lambda _: httpx.Response(422, json=document)
    out = tmp_path / "saliency.png"
    assert main(["radiograph", str(film), "--saliency", str(out)], transport=gateway.transport) == 1
    assert "It is a leg." in capsys.readouterr().err
    assert not out.exists()
