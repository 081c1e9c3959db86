"""Send one image with what was clicked on it, save what comes back, and say what was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgate_client.batch import align
from maskgate_client.client import Client
from maskgate_client.masks import MaskReport
from maskgate_client.prompts import Prompt


@dataclass(frozen=True)
class Cutting:
    """An image whose objects were found, and the files they were saved in."""

    name: str
    files: tuple[Path, ...]
    report: MaskReport

    @property
    def notices(self) -> tuple[str, ...]:
        """What the gateway did to the image, and how it took the prompt."""
        return (*self.report.notices, *(notice for found in self.report.objects for notice in found.notices))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, for one line of JSON."""
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            "objects": [{"box": o.box, "area": o.area, "score": o.score} for o in self.report.objects],
            "notices": list(self.notices),
        }

    def table(self) -> str:
        """Return box, area and score of what was found, as aligned text."""
        rows = [
            [self.name, str(found.area), " ".join(map(str, found.box)), "" if found.score is None else str(found.score)]
            if found.box
            else [self.name, "0", "nothing was found", ""]
            for found in self.report.objects
        ]
        return align([["image", "area", "box", "score"], *rows])


def run_image(
    client: Client,
    image: Path,
    prompt: Prompt,
    out: Path,
    *,
    model: str | None,
    version: int | None,
    threshold: float | None,
    coco: bool,
) -> Cutting:
    """Send an image, and save mask, overlay and report in `out`, with `coco` an annotation file too.

    Raises:
        MaskgateError, OSError: as `Client.segment`, or a file cannot be written.
    """
    wanted: Sequence[Any] = ("mask", "overlay", *(("coco",) if coco else ()))
    report = client.segment(image, prompt, model=model, version=version, threshold=threshold, include=wanted)
    contents = {
        "_mask.png": report.pictures["mask"],
        "_overlay.png": report.pictures["overlay"],
        ".json": _text(report.document),
        **({"_coco.json": _text(report.coco)} if coco else {}),
    }
    out.mkdir(parents=True, exist_ok=True)
    files = tuple(out / f"{image.stem}{ending}" for ending in contents)
    for path, content in zip(files, contents.values(), strict=True):
        path.write_bytes(content)
    return Cutting(image.stem, files, report)


def _text(document: Any) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
