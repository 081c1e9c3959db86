"""`maskgate ct`: send one CT, save what comes back, and say what was found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import Parents, align, bar, note, save, text
from maskgate_client.errors import Rejected
from maskgate_client.images import media_type
from maskgate_client.tasks.ct.answers import CtForm, CtReport
from maskgate_client.tasks.ct.protocol import ct_bytes, is_dicom

_ENDINGS: dict[CtForm, str] = {
    "label_map": "_labels.png",
    "overlay": "_overlay.png",
    "nifti": "_labels.nii.gz",
    "dicom": "_seg.dcm",
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
        "DICOM SEG too.",
    )
    ct.add_argument("image", type=Path, metavar="INPUT", help="DICOM, NIfTI, PNG, JPEG, a zip or a folder of a series")
    ct.add_argument(
        "--include",
        action="append",
        default=[],
        choices=("label_map", "overlay", "nifti", "dicom"),
        help="what to save besides the report; may be repeated; label_map and overlay are of single slices",
    )
    ct.add_argument("--out", type=Path, default=Path("ct"), metavar="DIR", help="default: ./ct")
    ct.add_argument("--json", action="store_true", help="print one line of JSON, not a table")
    ct.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    path, out = options.image, options.out
    data = ct_bytes(path)
    with bar("slice") as progress:

        def ask(forms: Sequence[CtForm]) -> CtReport:
            return client.ct(data, model=options.model, version=options.model_version, include=forms, progress=progress)

        report = ask(options.include) if options.include else _ask_for_what_suits(ask, data)
    name = path.name.removesuffix(_DOUBLE_ENDING) if path.name.endswith(_DOUBLE_ENDING) else path.resolve().stem
    contents = {out / f"{name}{_ENDINGS[form]}": content for form, content in report.files.items()}
    files = save({**contents, out / f"{name}_ct.json": text(report.document)})
    if options.json:
        line = {
            "name": name,
            "files": [str(file) for file in files],
            "slices": len(report.slices),
            "lesions": {lesion.name: {"ml": lesion.volume_ml, "voxels": lesion.voxels} for lesion in report.lesions},
            "notices": list(report.notices),
        }
        print(json.dumps(line, ensure_ascii=False))
    else:
        print(_table(report))
        print(f"\nSaved in {out}: {', '.join(file.name for file in files)}")
    note(name, report.notices)
    return 0


def _table(report: CtReport) -> str:
    """Return volume, share of the imaged field, and slices of each lesion class, as aligned text."""
    rows = [["lesion", "ml", "share", "voxels", "slices"]]
    for lesion in report.lesions:
        shown = sum(found.pixels > 0 for one in report.slices for found in one.lesions if found.value == lesion.value)
        volume = "" if lesion.volume_ml is None else f"{lesion.volume_ml:.2f}"
        rows.append([lesion.name, volume, f"{lesion.imaged_share:.2%}", str(lesion.voxels), str(shown)])
    return align(rows)


def _ask_for_what_suits(ask: Callable[[Sequence[CtForm]], CtReport], data: bytes) -> CtReport:
    """Return the report with the forms that suit the file.

    Whether a DICOM SEG can lie on a CT, the gateway alone can tell: where it refuses one, the answer goes without, and
    says why.
    """
    forms = _suitable(data)
    try:
        return ask(forms)
    except Rejected as refused:
        if "dicom" not in forms or refused.code != "parameter-invalid":
            raise
        report = ask([form for form in forms if form != "dicom"])
        return replace(report, notices=(*report.notices, f"no DICOM SEG: {refused.detail}"))


def _suitable(data: bytes) -> tuple[CtForm, ...]:
    if media_type(data) in ("image/png", "image/jpeg"):
        return "label_map", "overlay"
    return ("nifti", "dicom") if is_dicom(data) or data.startswith(_ZIP) else ("nifti",)
