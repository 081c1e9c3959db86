"""`maskgate ct`: send one CT, save what comes back, and say what was found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import MisuseError, Parents, align, bar, note, save, text
from maskgate_client.errors import Rejected
from maskgate_client.images import media_type
from maskgate_client.tasks.ct.answers import CtForm, CtReport, PacsSeries
from maskgate_client.tasks.ct.protocol import ct_bytes, is_dicom, left_out

_ENDINGS: dict[CtForm, str] = {
    "label_map": "_labels.png",
    "overlay": "_overlay.png",
    "nifti": "_labels.nii.gz",
    "nrrd": "_labels.seg.nrrd",
    "dicom": "_seg.dcm",
    "report": "_report.dcm",
}
_DOUBLE_ENDING = ".nii.gz"
_ZIP = b"PK\x03\x04"


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    ct = commands.add_parser(
        "ct",
        parents=[parents.remote, parents.model],
        help="find lesions in CT of the chest; a research demonstration, not a diagnosis",
        description="What it is, its bytes say. Of a folder its DICOM files are sent, as one series and without their "
        "names. Saved are a report and what suits the input: pictures of a picture, NIfTI of a volume, and of DICOM a "
        "DICOM SEG too. With --study and --series the gateway reads the series from the PACS that it has.",
    )
    ct.add_argument(
        "image", type=Path, nargs="?", metavar="INPUT", help="DICOM, NIfTI, PNG, JPEG, a zip or a folder of a series"
    )
    ct.add_argument("--study", metavar="UID", help="StudyInstanceUID of a series in the gateway's PACS")
    ct.add_argument(
        "--series", metavar="UID", help="its SeriesInstanceUID; or of several series in a zip the one to take"
    )
    ct.add_argument(
        "--store",
        action="append",
        default=[],
        choices=("dicom", "report"),
        help="what the gateway stores in the study there; may be repeated",
    )
    ct.add_argument(
        "--body-part", choices=("chest",), help="what DICOM files show, where they say otherwise or nothing"
    )
    ct.add_argument("--scale", type=float, help="Hounsfield units per value, of NIfTI and PNG of 16 bits")
    ct.add_argument("--offset", type=float, help="Hounsfield units of the value 0, of the same")
    ct.add_argument(
        "--include",
        action="append",
        default=[],
        choices=("label_map", "overlay", "nifti", "nrrd", "dicom", "report"),
        help="what to save besides the report; may be repeated; label_map and overlay are of single slices",
    )
    ct.add_argument("--out", type=Path, default=Path("ct"), metavar="DIR", help="default: ./ct")
    ct.add_argument("--json", action="store_true", help="print one line of JSON, not a table")
    ct.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    out, name = options.out, _name(options)
    data, left = (None, 0) if options.image is None else ct_bytes(options.image)
    source = PacsSeries(options.study, options.series) if data is None else data
    with bar("slice") as progress:

        def ask(forms: Sequence[CtForm]) -> CtReport:
            return client.ct(
                source,
                model=options.model,
                version=options.model_version,
                include=forms,
                store=options.store,
                series=None if data is None else options.series,
                body_part=options.body_part,
                scale=options.scale,
                offset=options.offset,
                progress=progress,
            )

        # What is stored must not be asked for twice, as it would be stored twice.
        several = options.include or options.store
        report = ask(options.include) if several else _ask_for_what_suits(ask, _suitable(data))
    report = replace(report, notices=(*report.notices, *left_out(left)))
    contents = {out / f"{name}{_ENDINGS[form]}": content for form, content in report.files.items()}
    files = save({**contents, out / f"{name}_ct.json": text(report.document)})
    if options.json:
        line = {
            "name": name,
            "files": [str(file) for file in files],
            "slices": len(report.slices),
            "lesions": {lesion.name: {"ml": lesion.volume_ml, "voxels": lesion.voxels} for lesion in report.lesions},
            "notices": list(report.notices),
            "stored": {file.form: file.instance for file in report.stored},
        }
        print(json.dumps(line, ensure_ascii=False))
    else:
        print(align(lesion_rows(report)))
        print(f"\nSaved in {out}: {', '.join(file.name for file in files)}")
        for file in report.stored:
            print(f"Stored in the PACS: {file.form} {file.instance}")
    note(name, report.notices)
    return 0


def _name(options: argparse.Namespace) -> str:
    """Return what files are named after.

    Raises:
        MisuseError: neither a file nor a series is named, or both.
    """
    path: Path | None = options.image
    if path is None:
        if options.study is None or options.series is None:
            raise MisuseError("name a file or a folder, or --study and --series of the gateway's PACS")
        return str(options.series)
    if options.study is not None or options.store:
        raise MisuseError("--study and --store are for a series in the gateway's PACS, not for a file")
    return path.name.removesuffix(_DOUBLE_ENDING) if path.name.endswith(_DOUBLE_ENDING) else path.resolve().stem


def lesion_rows(report: CtReport) -> list[list[str]]:
    """Return volume, share of the imaged field, and slices of each lesion class, as the rows of a table."""
    rows = [["lesion", "ml", "share", "voxels", "slices"]]
    for lesion in report.lesions:
        shown = sum(found.pixels > 0 for one in report.slices for found in one.lesions if found.value == lesion.value)
        volume = "" if lesion.volume_ml is None else f"{lesion.volume_ml:.2f}"
        rows.append([lesion.name, volume, f"{lesion.imaged_share:.2%}", str(lesion.voxels), str(shown)])
    return rows


def _ask_for_what_suits(ask: Callable[[Sequence[CtForm]], CtReport], forms: Sequence[CtForm]) -> CtReport:
    """Return the report with the forms that suit the file.

    Whether a DICOM SEG can lie on a CT, the gateway alone can tell: where it refuses one, the answer goes without, and
    says why.
    """
    try:
        return ask(forms)
    except Rejected as refused:
        if "dicom" not in forms or refused.code != "parameter-invalid":
            raise
        report = ask([form for form in forms if form != "dicom"])
        return replace(report, notices=(*report.notices, f"no DICOM SEG: {refused.detail}"))


def _suitable(data: bytes | None) -> tuple[CtForm, ...]:
    if data is None:
        return "nifti", "dicom"
    if media_type(data) in ("image/png", "image/jpeg"):
        return "label_map", "overlay"
    return ("nifti", "dicom") if is_dicom(data) or data.startswith(_ZIP) else ("nifti",)
