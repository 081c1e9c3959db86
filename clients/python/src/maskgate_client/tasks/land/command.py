"""`maskgate land`: send satellite images, save what comes back, and say what covers the ground."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import Input, Parents, images_in, number, run_images, save, targets, text
from maskgate_client.tasks.land.protocol import DistrictRoads, LandReport

_ENDINGS = ("_labels.png", "_overlay.png", "_land.json")


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    land = commands.add_parser(
        "land",
        parents=[parents.remote, parents.model],
        help="tell roads, trees, water and buildings on satellite images apart, and how long roads are",
    )
    land.add_argument(
        "image", type=Path, metavar="IMAGE | FOLDER", help="GeoTIFF, PNG or JPEG, or a folder of the latter"
    )
    land.add_argument(
        "--buildings",
        type=Path,
        metavar="GEOJSON",
        help="of the same place, as `maskgate damage --out x.geojson` saves",
    )
    land.add_argument("--districts", type=Path, metavar="GEOJSON", help="count roads in each")
    land.add_argument("--near", type=number(1, 1000), metavar="METRES", help="from destroyed buildings; default: 20")
    land.add_argument("--resolution", type=float, metavar="METRES", help="a pixel, of images that are no GeoTIFF")
    land.add_argument("--out", type=Path, default=Path("land"), metavar="DIR", help="default: ./land")
    land.add_argument("--force", action="store_true", help="replace files that are there already")
    land.add_argument("--json", action="store_true", help="print one line of JSON per image, not a table")
    land.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    def work(image: Input) -> _Cover:
        files = targets(options.out, image.name, _ENDINGS, force=options.force)
        report = client.land(
            image.path,
            buildings=options.buildings,
            districts=options.districts,
            near=options.near,
            resolution=options.resolution,
            model=options.model,
            version=options.model_version,
            include=("label_map", "overlay"),
        )
        contents = (report.pictures["label_map"], report.pictures["overlay"], text(report.document))
        return _Cover(image.name, save(dict(zip(files, contents, strict=True))), report)

    return run_images(client, images_in(options.image), work, options)


@dataclass(frozen=True)
class _Cover:
    """An image whose land cover was told, and the files it was saved in."""

    name: str
    files: tuple[Path, ...]
    report: LandReport

    @property
    def notices(self) -> tuple[str, ...]:
        return self.report.notices

    def as_json(self) -> dict[str, Any]:
        document = self.report.document
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            **{key: document[key] for key in ("classes", "roads", "near", "districts", "notices")},
        }

    def rows(self, *, named: bool) -> list[list[str]]:
        """Return share and area of each class, then the length of roads, of each district too."""
        name = [self.name] if named else []
        lengths = [("roads", self.report.roads)]
        lengths += [(f"roads in {_called(each)}", each) for each in self.report.districts or ()]
        return [
            [*(["image"] if named else []), "class", "share", "extent", "near"],
            *([*name, each.name, f"{each.share:.2%}", f"{each.area_m2:.0f} m²", ""] for each in self.report.shares),
            *([*name, what, "", f"{each.length_m:.0f} m", _metres(each.near_length_m)] for what, each in lengths),
        ]


def _called(district: DistrictRoads) -> str:
    return "no district" if district.id is None else district.name or str(district.id)


def _metres(length: float | None) -> str:
    return "" if length is None else f"{length:.0f} m"
