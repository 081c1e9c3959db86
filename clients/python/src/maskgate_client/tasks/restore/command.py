"""`maskgate restore`: send satellite images, and save them without their clouds, beside what of them is invented."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import Input, Parents, images_in, run_images, save, targets, text
from maskgate_client.tasks.restore.protocol import RestoreReport

_ENDINGS = ("_restored.png", "_invented.png", "_restore.json")
_SHARES = ("covered_share", "invented_share")


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    restore = commands.add_parser(
        "restore",
        parents=[parents.remote, parents.model],
        help="take clouds off satellite images, and tell what of them is invented",
    )
    restore.add_argument(
        "image", type=Path, metavar="IMAGE | FOLDER", help="GeoTIFF, PNG or JPEG, or a folder of the latter"
    )
    restore.add_argument("--out", type=Path, default=Path("restored"), metavar="DIR", help="default: ./restored")
    restore.add_argument("--force", action="store_true", help="replace files that are there already")
    restore.add_argument("--json", action="store_true", help="print one line of JSON per image, not a table")
    restore.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    def work(image: Input) -> _Restored:
        files = targets(options.out, image.name, _ENDINGS, force=options.force)
        report = client.restore(
            image.path, model=options.model, version=options.model_version, include=("image", "invented")
        )
        contents = (report.pictures["image"], report.pictures["invented"], text(report.document))
        return _Restored(image.name, save(dict(zip(files, contents, strict=True))), report)

    return run_images(client, images_in(options.image), work, options)


@dataclass(frozen=True)
class _Restored:
    """An image whose clouds were taken off, and the files it was saved in."""

    name: str
    files: tuple[Path, ...]
    report: RestoreReport

    @property
    def notices(self) -> tuple[str, ...]:
        return self.report.notices

    def as_json(self) -> dict[str, Any]:
        document = self.report.document
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            **{key: document[key] for key in (*_SHARES, "notices")},
        }

    def rows(self, *, named: bool) -> list[list[str]]:
        """Return how much was covered, and how much is invented."""
        found = [f"{self.report.covered_share:.2%}", f"{self.report.invented_share:.2%}"]
        if named:
            return [["image", "covered", "invented"], [self.name, *found]]
        return [["covered", "invented"], found]
