"""`maskgate waste`: send photographs of waste, save what comes back, and say what was found."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgate_client.annotations.command import READABLE, Export, add_options, readable
from maskgate_client.client import Client
from maskgate_client.command import Input, Parents, images_in, number, run_images, save, targets, text
from maskgate_client.tasks.waste.protocol import WasteReport

_ENDINGS = ("_labels.png", "_overlay.png", "_waste.json")


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    waste = commands.add_parser(
        "waste",
        parents=[parents.remote, parents.model],
        help="find waste on photographs, and save label map, overlay and report of each",
    )
    waste.add_argument("image", type=Path, metavar="IMAGE | FOLDER", help="PNG, JPEG or TIFF, or a folder of them")
    waste.add_argument(
        "--min-area", type=number(1, 10**9), metavar="N", help="pixels of the smallest piece that is listed"
    )
    waste.add_argument("--out", type=Path, default=Path("waste"), metavar="DIR", help="default: ./waste")
    waste.add_argument("--force", action="store_true", help="replace files that are there already")
    add_options(waste)
    waste.add_argument("--json", action="store_true", help="print one line of JSON per image, not a table")
    waste.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    images = images_in(options.image, READABLE)
    export = Export(options, images)
    export.check()

    def work(image: Input) -> _Sorting:
        files = targets(options.out, image.name, _ENDINGS, force=options.force)
        report = client.waste(
            readable(image.path),
            model=options.model,
            version=options.model_version,
            min_area=options.min_area,
            include=("label_map", "overlay"),
        )
        export.keep(image, report)
        contents = (report.pictures["label_map"], report.pictures["overlay"], text(report.document))
        return _Sorting(image.name, save(dict(zip(files, contents, strict=True))), report)

    code = run_images(client, images, work, options)
    return export.save() or code


@dataclass(frozen=True)
class _Sorting:
    """A photograph whose waste was found, and the files it was saved in."""

    name: str
    files: tuple[Path, ...]
    report: WasteReport

    @property
    def notices(self) -> tuple[str, ...]:
        return self.report.notices

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            "classes": {share.name: {"pixels": share.pixels, "share": share.share} for share in self.report.classes},
            "pieces": self.report.pieces(),
            "notices": list(self.notices),
        }

    def rows(self, *, named: bool) -> list[list[str]]:
        """Return share, pixels and pieces of each class."""
        pieces, name = self.report.pieces(), [self.name] if named else []
        return [
            [*(["image"] if named else []), "class", "share", "pixels", "pieces"],
            *(
                [*name, each.name, f"{each.share:.2%}", str(each.pixels), str(pieces.get(each.name, ""))]
                for each in self.report.classes
            ),
        ]
