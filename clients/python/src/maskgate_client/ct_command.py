"""Send one CT, save what comes back, and say what was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskgate_client.bars import bar
from maskgate_client.batch import align
from maskgate_client.client import Client
from maskgate_client.ct_protocol import ct_bytes, is_dicom
from maskgate_client.cts import CtForm, CtReport
from maskgate_client.errors import Rejected
from maskgate_client.images import media_type

_ENDINGS: dict[CtForm, str] = {
    "label_map": "_labels.png",
    "overlay": "_overlay.png",
    "nifti": "_labels.nii.gz",
    "dicom": "_seg.dcm",
}
_DOUBLE_ENDING = ".nii.gz"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Finding:
    """A CT whose lesions were found, and the files they were saved in."""

    name: str
    files: tuple[Path, ...]
    report: CtReport

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, for one line of JSON."""
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            "slices": len(self.report.slices),
            "lesions": {
                lesion.name: {"ml": lesion.volume_ml, "voxels": lesion.voxels} for lesion in self.report.lesions
            },
            "notices": list(self.report.notices),
        }

    def table(self) -> str:
        """Return volume, share of the imaged field, and slices of each lesion class, as aligned text."""
        rows = [["lesion", "ml", "share", "voxels", "slices"]]
        for lesion in self.report.lesions:
            shown = sum(
                found.pixels > 0 for one in self.report.slices for found in one.lesions if found.value == lesion.value
            )
            volume = "" if lesion.volume_ml is None else f"{lesion.volume_ml:.2f}"
            rows.append([lesion.name, volume, f"{lesion.imaged_share:.2%}", str(lesion.voxels), str(shown)])
        return align(rows)


def run_ct(
    client: Client, path: Path, out: Path, *, model: str | None, version: int | None, include: Sequence[CtForm]
) -> Finding:
    """Send a CT, and save its report and segmentations in `out`; bars show how far that is.

    Without `include` these are the forms that suit the file: pictures of a picture, NIfTI of a volume, and of DICOM a
    DICOM SEG too.

    Raises:
        MaskgateError, OSError: as `Client.ct`, or a file cannot be written.
    """
    data = ct_bytes(path)
    with bar("slice") as progress:

        def ask(forms: Sequence[CtForm]) -> CtReport:
            return client.ct(data, model=model, version=version, include=forms, progress=progress)

        report = ask(include) if include else _ask_for_what_suits(ask, data)
    name = path.name.removesuffix(_DOUBLE_ENDING) if path.name.endswith(_DOUBLE_ENDING) else path.resolve().stem
    text = json.dumps(report.document, indent=2, ensure_ascii=False) + "\n"
    contents = {f"{name}{_ENDINGS[form]}": content for form, content in report.files.items()}
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for file, content in {**contents, f"{name}_ct.json": text.encode()}.items():
        files.append(out / file)
        files[-1].write_bytes(content)
    return Finding(name, tuple(files), report)


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
