"""Send one pair of scenes, and save what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maskgate_client.client import Client
from maskgate_client.features import require_pyogrio, write_geopackage
from maskgate_client.pairs import Pair
from maskgate_client.progress import Tell
from maskgate_client.scene_report import Align, SceneFile, SceneReport

FORMS: Mapping[str, SceneFile] = {".geojson": "geojson", ".gpkg": "geojson", ".tif": "geotiff", ".tiff": "geotiff"}
"""What the gateway is asked for, by the ending of the file to be saved."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class SceneWish:
    """How scenes are wanted.

    Attributes:
        ending: of the files that are named after their pair; one of `FORMS`.
        align: None: the gateway's choice.
        districts: GeoJSON to count buildings by.
    """

    ending: str = ".geojson"
    align: Align | None = None
    districts: bytes | None = None


def is_scene(pair: Pair) -> bool:
    """Return whether one of the images is TIFF, by its first bytes.

    Raises:
        OSError: one cannot be read.
    """

    def head(path: Path) -> bytes:
        with path.open("rb") as file:
            return file.read(4)

    return any(head(path) in _TIFF for path in (pair.pre, pair.post))


def run_scene(
    client: Client,
    pair: Pair,
    target: Path,
    wish: SceneWish,
    *,
    model: str | None,
    version: int | None,
    progress: Tell | None = None,
) -> tuple[SceneReport, tuple[Path, ...]]:
    """Save what was found in a pair of scenes as `target`, and beside it a small picture and the report.

    Returns:
        The report, and the files saved.

    Raises:
        MaskgateError, OSError, PyogrioMissing: as `Client.damage_scene`, or a file cannot be written.
    """
    ending = target.suffix.lower()
    if ending == ".gpkg":
        require_pyogrio()
    form = FORMS[ending]
    report = client.damage_scene(
        pair.pre,
        pair.post,
        districts=wish.districts,
        align=wish.align,
        model=model,
        version=version,
        include=(form, "quicklook"),
        progress=progress,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".gpkg":
        write_geopackage(report.files[form], target)
    else:
        target.write_bytes(report.files[form])
    text = json.dumps(report.document, indent=2, ensure_ascii=False) + "\n"
    beside = {"_quicklook.png": report.pictures["quicklook"], ".json": text.encode()}
    files = [target]
    for more, content in beside.items():
        files.append(target.with_name(f"{target.stem}{more}"))
        files[-1].write_bytes(content)
    return report, tuple(files)
