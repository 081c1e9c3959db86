"""`maskgate segment`: send images with what shows their objects, save what comes back, and say what was found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from maskgate_client.annotations.command import READABLE, Export, add_options, readable
from maskgate_client.client import Client
from maskgate_client.command import (
    Input,
    MisuseError,
    Parents,
    fail,
    images_in,
    run_images,
    save,
    share,
    targets,
    text,
)
from maskgate_client.tasks.interactive.answers import MaskReport
from maskgate_client.tasks.interactive.boxes import BoxesInvalidError, Shown, read_boxes
from maskgate_client.tasks.interactive.prompts import Prompt


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    segment = commands.add_parser(
        "segment",
        parents=[parents.remote, parents.model],
        help="cut out the objects that are clicked on in images",
        description="Coordinates are pixels of the upright image, x before y, origin top left; "
        "lists of points are written X,Y,X,Y,… Which of them a model takes, it says when asked for something else. In "
        "a folder, what is shown counts for every image, but where --boxes says of which image each is.",
    )
    segment.add_argument("image", type=Path, metavar="IMAGE | FOLDER", help="PNG, JPEG or TIFF, or a folder of them")
    shown = segment.add_argument_group("the object")
    several = partial(shown.add_argument, action="append", default=[])
    shown.add_argument("--box", type=_points(2, 2), metavar="X,Y,X,Y", help="two opposite corners around it")
    shown.add_argument(
        "--tight",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the box touches it (default), or was drawn a little outside",
    )
    several("--click", type=_points(1, 1), metavar="X,Y", help="a click on it; may be repeated")
    several("--not", dest="beside", type=_points(1, 1), metavar="X,Y", help="a click beside it")
    shown.add_argument("--extreme", type=_points(4, 4), metavar="X,Y,…", help="its four extreme points, in any order")
    shown.add_argument("--polygon", type=_points(3), metavar="X,Y,…", help="its outline")
    several("--stroke", type=_points(1), metavar="X,Y,…", help="a line on it; may be repeated")
    several("--not-stroke", type=_points(1), metavar="X,Y,…", help="a line beside it")
    more = segment.add_argument_group("several objects")
    more.add_argument(
        "--prompt",
        type=_prompt,
        action="append",
        default=[],
        metavar="JSON",
        help='another object, as the gateway reads it: {"box": [X, Y, X, Y], "positive": [[X, Y]]}, and perhaps its '
        '"label"; may be repeated',
    )
    more.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="a box per object: CSV with the columns image,x0,y0,x1,y1 and perhaps label, or COCO annotations (.json)",
    )
    segment.add_argument(
        "--threshold", type=share, metavar="P", help="least probability of its pixels; default: the model's"
    )
    segment.add_argument("--simplify", type=float, metavar="N", help="pixels by which outlines may be off; default: 0")
    segment.add_argument("--fill-holes", action="store_true", help="no holes, but for those with a click beside")
    segment.add_argument("--largest", action="store_true", help="the largest part of each object alone")
    segment.add_argument("--out", type=Path, default=Path("objects"), metavar="DIR", help="default: ./objects")
    segment.add_argument("--force", action="store_true", help="replace files that are there already")
    segment.add_argument("--label", default="object", metavar="NAME", help="category of objects that have no other")
    add_options(segment)
    segment.add_argument("--coco", dest="export", action="append_const", const="coco", help="as --export coco")
    segment.add_argument("--json", action="store_true", help="print one line of JSON per image, not a table")
    segment.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    shown = _shown(options)
    images = images_in(options.image, READABLE)
    if options.boxes is None:
        return _all(client, options, lambda _: shown, Export(options, images))
    if shown:
        raise MisuseError("--boxes says what the objects are; leave out the other ways to show them")
    try:
        boxes = read_boxes(options.boxes, tight=options.tight)
    except BoxesInvalidError as error:
        raise MisuseError(str(error)) from error
    wanted = [image for image in images if image.path.name in boxes.objects]
    strays = sorted(boxes.objects.keys() - {image.path.name for image in wanted})
    for name in strays:
        fail(f"{name}: {options.boxes} has boxes of it, but it is not there")
    if not wanted:
        raise MisuseError(f"{options.boxes} has no boxes of {options.image}")
    export = Export(options, wanted, boxes.categories, boxes.names)
    code = _all(client, options, lambda image: boxes.objects[image.path.name], export)
    return code or bool(strays)


def _all(client: Client, options: argparse.Namespace, shown: Callable[[Input], Sequence[Shown]], export: Export) -> int:
    export.check()
    code = run_images(client, export.images, partial(_cut, client, options, shown, export), options)
    return export.save() or code


def _shown(options: argparse.Namespace) -> list[Shown]:
    """Return what the options show; nothing where the boxes of a file do."""
    prompt = Prompt(
        box=[*options.box[0], *options.box[1]] if options.box else None,
        positive=[point for (point,) in options.click],
        negative=[point for (point,) in options.beside],
        extreme=options.extreme or (),
        polygon=options.polygon or (),
        strokes=options.stroke,
        background_strokes=options.not_stroke,
        tight=options.tight,
    )
    first = [] if prompt.document().keys() <= {"tight"} else [Shown(prompt)]
    shown = [*first, *options.prompt]
    if not shown and options.boxes is None:
        raise MisuseError("show the object: by --box, --click, --extreme, --polygon, --stroke, --prompt or --boxes")
    return shown


def _cut(
    client: Client,
    options: argparse.Namespace,
    shown: Callable[[Input], Sequence[Shown]],
    export: Export,
    image: Input,
) -> _Cutting:
    files = targets(options.out, image.name, ("_mask.png", "_overlay.png", ".json"), force=options.force)
    report = client.segment(
        readable(image.path),
        *(each.prompt for each in shown(image)),
        model=options.model,
        version=options.model_version,
        threshold=options.threshold,
        simplify=options.simplify,
        holes="fill" if options.fill_holes else None,
        largest=options.largest or None,
        include=("mask", "overlay"),
    )
    export.keep(image, report, [each.label or options.label for each in shown(image)])
    contents = (report.pictures["mask"], report.pictures["overlay"], text(report.document))
    return _Cutting(image.name, save(dict(zip(files, contents, strict=True))), report)


@dataclass(frozen=True)
class _Cutting:
    """An image whose objects were found, and the files they were saved in."""

    name: str
    files: tuple[Path, ...]
    report: MaskReport

    @property
    def notices(self) -> tuple[str, ...]:
        """What the gateway did to the image, and how it took the prompts."""
        return (*self.report.notices, *(notice for found in self.report.objects for notice in found.notices))

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            "objects": [{"box": o.box, "area": o.area, "score": o.score} for o in self.report.objects],
            "notices": list(self.notices),
        }

    def rows(self, *, named: bool) -> list[list[str]]:
        """Return box, area and score of what was found, always with the name."""
        return [
            ["image", "area", "box", "score"],
            *(
                [self.name, str(o.area), " ".join(map(str, o.box)), "" if o.score is None else str(o.score)]
                if o.box
                else [self.name, "0", "nothing was found", ""]
                for o in self.report.objects
            ),
        ]


def _points(fewest: int, most: int | None = None) -> Callable[[str], list[tuple[float, float]]]:
    """Return a parser of that many points."""
    wanted = str(fewest) if fewest == most else f"{fewest} or more"

    def parse(text: str) -> list[tuple[float, float]]:
        try:
            numbers = [float(number) for number in text.split(",")]
        except ValueError:
            numbers = []
        count = len(numbers) // 2
        if len(numbers) % 2 or not fewest <= count <= (most or count) or not all(map(isfinite, numbers)):
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted} × X,Y")
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    return parse


def _prompt(text: str) -> Shown:
    """Return the prompt that a JSON document is, and its label."""
    try:
        document = json.loads(text)
        strokes, label = document.pop("strokes", {}), document.pop("label", None)
        prompt = Prompt(**document, strokes=strokes.get("object", ()), background_strokes=strokes.get("background", ()))
        json.dumps(prompt.document(), allow_nan=False)
        if not isinstance(label, str | None):
            raise TypeError("a label is a string")
    except (ValueError, TypeError, AttributeError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a prompt in JSON") from None
    return Shown(prompt, label)
