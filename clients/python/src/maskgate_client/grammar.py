"""The command line's grammar."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path

import httpx

from maskgate_client.protocol import DEFAULT_URL
from maskgate_client.scenes import SMALLEST
from maskgate_client.version import __version__

LARGEST_EXAMPLE = 4096
"""The largest side of an example, in pixels: beyond it drawing takes long and much memory."""


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    root = argparse.ArgumentParser(
        "maskgate",
        description="Damage maps from pairs of satellite images, objects of any image by clicks, lesions in CT, "
        "scores of radiographs, waste on photographs.",
        epilog="Where the gateway asks for a key, MASKGATE_KEY holds it: what is on a command line, others can read.",
    )
    root.add_argument("--version", action="version", version=f"maskgate {__version__}")
    commands = root.add_subparsers(dest="command", required=True)
    remote = argparse.ArgumentParser(add_help=False)
    remote.add_argument(
        "--url",
        type=_url,
        default=os.environ.get("MASKGATE_URL") or DEFAULT_URL,
        help=f"address of the gateway (default: $MASKGATE_URL, else {DEFAULT_URL})",
    )
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", metavar="NAME", help="default: the gateway's choice")
    model.add_argument(
        "--model-version", type=_number(1, 999_999_999), metavar="N", help="default: the newest that is ready"
    )

    example = commands.add_parser("example", help="draw pairs to try the service with")
    example.add_argument("--out", type=Path, default=Path("example"), metavar="DIR", help="default: ./example")
    example.add_argument("--seed", type=_number(0, 99_000_000), default=1, metavar="N", help="which town; default: 1")
    example.add_argument(
        "--size", type=_number(SMALLEST, LARGEST_EXAMPLE), default=1024, metavar="N", help="side in pixels"
    )
    example.add_argument("--count", type=_number(1, 10_000), default=1, metavar="N", help="how many towns")

    damage = commands.add_parser(
        "damage",
        parents=[remote, model],
        help="send a pair, or a folder of pairs, and save the damage maps",
        usage="maskgate damage [options] (PRE POST | FOLDER)",
        description="In a folder (and its subfolder images/) pairs are found by the names of xBD, "
        "<disaster>_<8 digits>_{pre,post}_disaster.png, and of Ida-BD. Of two pictures a map, an overlay and a report "
        "are saved; of GeoTIFFs buildings or the map as a file of its own, a small picture and a report.",
    )
    damage.add_argument("paths", nargs="+", type=Path, metavar="PRE POST | FOLDER", help="two images, or a folder")
    damage.add_argument(
        "--out",
        type=Path,
        default=Path("damage"),
        metavar="DIR | FILE",
        help="default: ./damage; a FILE.geojson, FILE.gpkg or FILE.tif is for two GeoTIFFs",
    )
    damage.add_argument(
        "--format", choices=("geojson", "gpkg", "tif"), default="geojson", help="of GeoTIFFs saved in a folder"
    )
    damage.add_argument(
        "--align",
        choices=("auto", "off", "require"),
        help="undo a shift that GeoTIFFs themselves show: where it is sure (default), never, or else fail",
    )
    damage.add_argument(
        "--districts", type=Path, metavar="GEOJSON", help="polygons; the report of GeoTIFFs counts buildings in each"
    )
    damage.add_argument("--json", action="store_true", help="print one line of JSON per pair, not a table")

    segment = commands.add_parser(
        "segment",
        parents=[remote, model],
        help="cut out the object that is clicked on in an image",
        description="Coordinates are pixels of the upright image, x before y, origin top left; "
        "lists of points are written X,Y,X,Y,… Which of them a model takes, it says when asked for something else.",
    )
    segment.add_argument("image", type=Path, metavar="IMAGE", help="PNG or JPEG")
    shown = segment.add_argument_group("the object")
    several = partial(shown.add_argument, action="append", default=[])
    shown.add_argument("--box", type=_points(2, 2), metavar="X,Y,X,Y", help="two opposite corners around it")
    shown.add_argument("--tight", action="store_true", help="the box touches it, as a measured one does")
    several("--click", type=_points(1, 1), metavar="X,Y", help="a click on it; may be repeated")
    several("--not", dest="beside", type=_points(1, 1), metavar="X,Y", help="a click beside it")
    shown.add_argument("--extreme", type=_points(4, 4), metavar="X,Y,…", help="its four extreme points, in any order")
    shown.add_argument("--polygon", type=_points(3), metavar="X,Y,…", help="its outline")
    several("--stroke", type=_points(1), metavar="X,Y,…", help="a line on it; may be repeated")
    several("--not-stroke", type=_points(1), metavar="X,Y,…", help="a line beside it")
    segment.add_argument(
        "--threshold", type=_share, metavar="P", help="least probability of its pixels; default: the model's"
    )
    segment.add_argument("--out", type=Path, default=Path("objects"), metavar="DIR", help="default: ./objects")
    segment.add_argument("--coco", action="store_true", help="save a COCO annotation file too")
    segment.add_argument("--json", action="store_true", help="print one line of JSON, not a table")

    ct = commands.add_parser(
        "ct",
        parents=[remote, model],
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

    radiograph = commands.add_parser(
        "radiograph",
        parents=[remote, model],
        help="score a radiograph of the chest; a research demonstration, not a diagnosis",
        description="By default all models that are ready are asked, and their scores averaged.",
    )
    radiograph.add_argument("image", type=Path, metavar="FILM", help="DICOM, or grey PNG or JPEG with bone bright")
    radiograph.add_argument(
        "--threshold", type=_share, metavar="P", help="least probability of the first class to decide for it"
    )
    radiograph.add_argument(
        "--saliency", type=Path, metavar="OUT.png", help="save a picture of what the scores rest on"
    )
    radiograph.add_argument("--saliency-class", metavar="NAME", help="for which class; default: the one decided for")
    radiograph.add_argument("--json", action="store_true", help="print one line of JSON, not a table")

    waste = commands.add_parser(
        "waste", parents=[remote, model], help="find waste on a photograph, and save label map, overlay and report"
    )
    waste.add_argument("image", type=Path, metavar="IMAGE", help="PNG or JPEG")
    waste.add_argument(
        "--min-area", type=_number(1, 10**9), metavar="N", help="pixels of the smallest piece that is listed"
    )
    waste.add_argument("--out", type=Path, default=Path("waste"), metavar="DIR", help="default: ./waste")
    waste.add_argument("--json", action="store_true", help="print one line of JSON, not a table")

    commands.add_parser("models", parents=[remote], help="list the gateway's models")
    return root


def _url(text: str) -> str:
    """Return `text` if it is an address a gateway can have."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address like {DEFAULT_URL}")
    return text


def _number(lowest: int, highest: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `lowest` to `highest`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return parse


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


def _share(text: str) -> float:
    """Return `text` if it is a probability between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value
