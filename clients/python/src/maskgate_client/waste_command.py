"""Send one photograph of waste, save what comes back, and say what was found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgate_client.batch import align
from maskgate_client.client import Client
from maskgate_client.wastes import WasteReport


@dataclass(frozen=True)
class Sorting:
    """A photograph whose waste was found, and the files it was saved in."""

    name: str
    files: tuple[Path, ...]
    report: WasteReport

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, for one line of JSON."""
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            "classes": {share.name: {"pixels": share.pixels, "share": share.share} for share in self.report.classes},
            "pieces": self.report.pieces(),
            "notices": list(self.report.notices),
        }

    def table(self) -> str:
        """Return share, pixels and pieces of each class, as aligned text."""
        pieces = self.report.pieces()
        rows = [
            [each.name, f"{each.share:.2%}", str(each.pixels), str(pieces.get(each.name, ""))]
            for each in self.report.classes
        ]
        return align([["class", "share", "pixels", "pieces"], *rows])


def run_waste(
    client: Client, path: Path, out: Path, *, model: str | None, version: int | None, min_area: int | None
) -> Sorting:
    """Send a photograph, and save its report, label map and overlay in `out`.

    Raises:
        MaskgateError, OSError: as `Client.waste`, or a file cannot be written.
    """
    report = client.waste(path, model=model, version=version, min_area=min_area, include=("label_map", "overlay"))
    name = path.resolve().stem
    contents = {
        f"{name}_labels.png": report.pictures["label_map"],
        f"{name}_overlay.png": report.pictures["overlay"],
        f"{name}_waste.json": (json.dumps(report.document, indent=2, ensure_ascii=False) + "\n").encode(),
    }
    out.mkdir(parents=True, exist_ok=True)
    files = tuple(out / file for file in contents)
    for file, content in zip(files, contents.values(), strict=True):
        file.write_bytes(content)
    return Sorting(name, files, report)
