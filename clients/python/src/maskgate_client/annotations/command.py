"""What commands do about annotations: their options, what is checked before anything is sent, and saving in the end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from maskgate_client.annotations.dataset import FORMATS, Dataset
from maskgate_client.annotations.maps import TIFF, NotGeoreferencedError, georeference
from maskgate_client.annotations.objects import AnnotatedImage, annotations_of
from maskgate_client.answers import LabelMapReport
from maskgate_client.command import IMAGES, Input, MisuseError, fail
from maskgate_client.images import ImageInput
from maskgate_client.tasks.interactive.answers import MaskReport

READABLE = (*IMAGES, *TIFF)
"""Endings of what `readable` reads."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `--export` and `--crs`."""
    parser.add_argument(
        "--export",
        choices=FORMATS,
        action="append",
        default=[],
        help="also save annotations of all images, in a folder of that name in --out; may be repeated",
    )
    parser.add_argument(
        "--crs", metavar="CRS", help="of geojson: coordinate reference system of images that do not name theirs"
    )


def readable(path: Path) -> ImageInput:
    """Return an image that a gateway takes: of a TIFF its pixels, of which Pillow makes a PNG."""
    if path.suffix.lower() not in TIFF:
        return path
    from PIL import Image

    return Image.open(path)


@dataclass
class Export:
    """Annotations that are asked for, of images that are under way.

    Attributes:
        options: those of the command.
        images: all that are to be sent.
        categories: names by COCO's number, where the caller has them.
        names: what images are called, where it is not their file's name: by that.
    """

    options: argparse.Namespace
    images: Sequence[Input]
    categories: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    _done: dict[Path, AnnotatedImage] = field(default_factory=dict)

    def check(self) -> None:
        """Find what will not do before anything is sent.

        Raises:
            FileExistsError: a file is there already, and is not to be replaced.
            MisuseError: GeoJSON is asked for of an image that nobody says where it lies, or pyproj is not there.
        """
        planned = Dataset()
        planned.images = [AnnotatedImage(self._name(image), image.path) for image in self.images]
        for kind in self.options.export:
            planned.targets(self.options.out / kind, kind, force=self.options.force)
        if "geojson" in self.options.export:
            if find_spec("pyproj") is None:
                raise MisuseError("--export geojson needs pyproj: pip install 'maskgate-client[geo]'")
            try:
                for image in self.images:
                    georeference(image.path, self.options.crs)
            except NotGeoreferencedError as error:
                raise MisuseError(str(error)) from error

    def keep(self, image: Input, report: MaskReport | LabelMapReport, labels: Sequence[str] | None = None) -> None:
        """Keep what was found in an image; arguments as of `Dataset.add`."""
        if self.options.export:
            found = annotations_of(report, labels)
            kept = AnnotatedImage(self._name(image), image.path, report.width, report.height, found)
            self._done[image.path] = kept

    def save(self) -> int:
        """Save the annotations of what was found, say where, and return the exit code.

        Raises:
            OSError: a file cannot be written, or was made by another meanwhile.
        """
        dataset = Dataset(self.categories)
        for image in self.images:
            if image.path in self._done:
                dataset.append(self._done[image.path])
        code = 0
        for kind in dict.fromkeys(self.options.export) if dataset.images else ():
            folder = self.options.out / kind
            try:
                dataset.save(folder, kind, force=self.options.force, crs=self.options.crs)
            except ValueError as error:
                code = fail(f"{kind}: {error}")
                continue
            if not self.options.json:
                print(f"Exported {folder}")
        return code

    def _name(self, image: Input) -> str:
        return self.names.get(image.path.name, image.path.name)
