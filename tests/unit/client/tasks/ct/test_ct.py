"""CT through the clients: what is sent, what is read, and what the command saves."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from maskgate_client import CtReport, Lesion, PacsSeries, Progress, SliceLesion, Spacing, StoredFile
from maskgate_client.cli import main

DICOM = bytes(128) + b"DICM" + b"and so on"
PNG = b"\x89PNG and so on"
NIFTI = b"\x5c\x01\0\0 and so on"


def uploaded(request: httpx.Request) -> bytes:
    """Return the one part of a request, less its head."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    head, _, rest = request.read().partition(b"\r\n\r\n")
    assert b'name="image"; filename="image"' in head, "file names stay at home"
    return rest.removesuffix(b"\r\n--" + boundary + b"--\r\n")


def test_a_report_says_what_the_gateway_said(ask: Any, gateway: Any) -> None:
    report: CtReport = ask("ct", DICOM, model="m", version=3, include=["nifti"])
    assert report.spacing == Spacing(0.7, 0.6, 2.5)
    assert report.lesions == (Lesion(1, "ground-glass", 5, 0.25, 0.00525),)
    assert [one.lesions for one in report.slices] == [(SliceLesion(1, 5, 0.5, 2.1),), (SliceLesion(1, 0, 0.0, 0.0),)]
    assert report.files == {"nifti": b"nifti"}
    assert report.notices == ("a research demonstration, not a diagnosis",)
    assert report.classes[0].name == "ground-glass"
    assert "files" not in report.document
    (request,) = gateway.requests
    assert dict(request.url.params) == {"include": "nifti", "model": "m", "version": "3"}
    assert uploaded(request) == DICOM


@pytest.mark.parametrize(
    ("form", "accept", "query"),
    [
        ("dicom", "application/dicom", {}),
        ("nifti", "application/x-nifti", {}),
        ("nrrd", "application/x-nrrd", {}),
        ("label_map", "image/png", {}),
        ("overlay", "image/png", {"overlay": "true"}),
    ],
)
def test_a_segmentation_is_a_file(ask: Any, gateway: Any, form: str, accept: str, query: dict[str, str]) -> None:
    assert ask("ct_segmentation", DICOM, form) == accept.encode()
    assert dict(gateway.requests[0].url.params) == query


def test_of_a_folder_only_dicom_files_leave_and_none_of_the_names(ask: Any, gateway: Any, tmp_path: Path) -> None:
    for name, content in {"b/Jane Doe 2.dcm": DICOM + b"2", "a/1": DICOM + b"1", "letter to Jane.txt": b"Dear"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    ask("ct", tmp_path)
    with zipfile.ZipFile(io.BytesIO(uploaded(gateway.requests[0]))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "000000": DICOM + b"1",
            "000001": DICOM + b"2",
        }


def test_files_without_preamble_or_meta_information_are_dicom_too(ask: Any, gateway: Any, tmp_path: Path) -> None:
    """Element (0002,0000) or (0008,0005) comes first: explicit, implicit, of big endian."""
    bare = [
        b"\x02\0\0\0UL\x04\0 and so on",
        b"\x08\0\x05\0CS\x0a\0 and so on",
        b"\x08\0\x05\0\x0a\0\0\0 and so on",
        b"\0\x08\0\x05CS\0\x0a and so on",
    ]
    others = [b"", b"\x08", b"\x08\0\x05\0XX\xff\xff and so on", b"\0\x08\0\x05\0\0\0\x0a and so on", b"DICM"]
    for number, content in enumerate([DICOM, *bare, *others]):
        (tmp_path / str(number)).write_bytes(content)
    report = ask("ct", tmp_path)
    with zipfile.ZipFile(io.BytesIO(uploaded(gateway.requests[0]))) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [DICOM, *bare]
    assert report.notices[-1] == "5 files of the folder do not begin as DICOM does and were not sent"


def test_a_series_in_the_pacs_is_named_and_nothing_is_sent(ask: Any, gateway: Any) -> None:
    report = ask("ct", PacsSeries("1.2", "1.2.3"), store=["report"], body_part="chest", model="m")
    (request,) = gateway.requests
    assert dict(request.url.params) == {
        "source": "dicomweb",
        "study": "1.2",
        "series": "1.2.3",
        "store": "report",
        "body_part": "chest",
        "model": "m",
    }
    assert request.read() == b""
    assert report.stored == (StoredFile("dicom", "1.2.4", "1.2.4.5"),)
    assert ask("ct_segmentation", PacsSeries("1.2", "1.2.3"), "dicom") == b"application/dicom"


def test_what_a_caller_knows_better_is_said(ask: Any, gateway: Any) -> None:
    ask("ct", NIFTI, scale=2, offset=-1024.0, series="7")
    assert dict(gateway.requests[0].url.params) == {"scale": "2", "offset": "-1024.0", "series": "7"}


def test_a_report_is_no_file_of_its_own(ask: Any, gateway: Any) -> None:
    with pytest.raises(ValueError, match="not alone"):
        ask("ct_segmentation", DICOM, "report")
    assert gateway.requests == []


def test_a_slice_is_known_by_its_file_and_place(ask: Any) -> None:
    first, second = ask("ct", DICOM).slices
    assert (first.instance, first.position) == ("1.2.3", (-160.0, -160.0, 2.5))
    assert (second.instance, second.position) == (None, None)


def test_a_folder_without_dicom_files_is_not_sent(ask: Any, gateway: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"Dear")
    with pytest.raises(FileNotFoundError, match="no DICOM file"):
        ask("ct", tmp_path)
    assert gateway.requests == []


def test_progress_is_told_until_all_is_sent(ask: Any, gateway: Any) -> None:
    told: list[Progress] = []
    data = DICOM + bytes(300_000)
    ask("ct", data, progress=told.append)
    assert uploaded(gateway.requests[0]) == data
    assert {(step.stage, step.total) for step in told} == {("send", len(data))}
    sent = [step.done for step in told]
    assert sent == sorted(set(sent))
    assert len(sent) > 2
    assert sent[-1] == len(data)


@pytest.mark.parametrize(
    ("name", "content", "saved"),
    [
        ("slice.dcm", DICOM, ["slice_ct.json", "slice_labels.nii.gz", "slice_seg.dcm"]),
        ("volume.nii.gz", NIFTI, ["volume_ct.json", "volume_labels.nii.gz"]),
        ("picture.png", PNG, ["picture_ct.json", "picture_labels.png", "picture_overlay.png"]),
    ],
)
def test_the_command_saves_what_suits_the_file(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, saved: list[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "new" / "out"
    assert main(["ct", str(tmp_path / name), "--out", str(out)], transport=gateway.transport) == 0
    assert sorted(path.name for path in out.iterdir()) == saved
    assert json.loads((out / saved[0]).read_text())["model"] == "cogseg"
    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == [
        "lesion        ml    share   voxels  slices",
        "ground-glass  0.01  25.00%       5       1",
    ]
    assert "note: a research demonstration, not a diagnosis" in said.err


def test_the_command_saves_what_is_asked_for_and_says_so_in_json(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slice.dcm").write_bytes(DICOM)
    arguments = ["ct", str(tmp_path / "slice.dcm"), "--out", str(tmp_path), "--include", "overlay", "--json"]
    assert main(arguments, transport=gateway.transport) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["lesions"] == {"ground-glass": {"ml": 0.00525, "voxels": 5}}
    assert [Path(path).name for path in told["files"]] == ["slice_overlay.png", "slice_ct.json"]
    assert (tmp_path / "slice_overlay.png").read_bytes() == b"overlay"


def test_the_command_goes_without_a_seg_that_cannot_be(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusing(request: httpx.Request) -> httpx.Response | None:
        if "dicom" not in request.url.params.get_list("include"):
            return None
        title, detail = "Parameter invalid", "The CT names no frame of reference."
        document = {"title": title, "code": "parameter-invalid", "detail": detail, "status": 422}
        return httpx.Response(422, json=document)

    gateway.instead = refusing
    (tmp_path / "slice.dcm").write_bytes(DICOM)
    out = tmp_path / "out"
    assert main(["ct", str(tmp_path / "slice.dcm"), "--out", str(out)], transport=gateway.transport) == 0
    assert sorted(path.name for path in out.iterdir()) == ["slice_ct.json", "slice_labels.nii.gz"]
    assert "note: no DICOM SEG: The CT names no frame of reference." in capsys.readouterr().err
    # Asked for by name, it is not left out in silence.
    arguments = ["ct", str(tmp_path / "slice.dcm"), "--out", str(out), "--include", "dicom"]
    assert main(arguments, transport=gateway.transport) == 1
    assert "names no frame of reference" in capsys.readouterr().err


def test_the_command_names_a_file_that_is_not_there(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ct", str(tmp_path / "none")], transport=gateway.transport) == 1
    assert "No such file" in capsys.readouterr().err
    assert main(["ct", str(tmp_path)], transport=gateway.transport) == 1
    assert "there is no DICOM file in it" in capsys.readouterr().err


def test_the_command_takes_a_series_in_the_pacs(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["ct", "--study", "1.2", "--series", "1.2.3", "--store", "dicom", "--out", str(tmp_path)]
    assert main(arguments, transport=gateway.transport) == 0
    (request,) = gateway.requests
    assert request.url.params.get_list("store") == ["dicom"]
    assert request.url.params.get_list("include") == []
    assert [path.name for path in tmp_path.iterdir()] == ["1.2.3_ct.json"]
    assert "Stored in the PACS: dicom 1.2.4.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["--study", "1.2"], ["slice.dcm", "--study", "1.2"], ["slice.dcm", "--store", "dicom"]]
)
def test_the_command_takes_a_file_or_a_series_in_the_pacs(
    gateway: Any, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["ct", *arguments], transport=gateway.transport) == 2
    assert "--study" in capsys.readouterr().err
    assert gateway.requests == []


def test_the_command_tells_of_files_that_were_left_out(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("1", DICOM), ("2", b"Dear")):
        (tmp_path / name).write_bytes(content)
    assert main(["ct", str(tmp_path), "--out", str(tmp_path / "out")], transport=gateway.transport) == 0
    assert "note: 1 files of the folder do not begin as DICOM does" in capsys.readouterr().err
