"""`maskgate damage`: send pairs, save what comes back, and say how it went."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import MisuseError, Parents, align, bar, fail, in_flight, note, saved
from maskgate_client.tasks.damage.pairs import (
    Outcome,
    Pair,
    Sending,
    Stray,
    can_be_saved,
    find_pairs,
    name_pair,
    names_file,
)

_RASTERS = {
    "elevation": "metres above sea level of the ground",
    "surface": "metres above the ground of what stands there",
    "landcover": "classes of what covers the ground",
}
"""What may be known of the ground → in words."""


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    damage = commands.add_parser(
        "damage",
        parents=[parents.remote, parents.model],
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
        help="default: ./damage; a FILE.geojson, FILE.tif, FILE.gpkg, FILE.fgb, FILE.parquet, or of another format "
        "that pyogrio writes, is for two GeoTIFFs",
    )
    damage.add_argument(
        "--format",
        choices=("geojson", "gpkg", "fgb", "parquet", "tif"),
        default="geojson",
        help="of GeoTIFFs saved in a folder",
    )
    damage.add_argument(
        "--align",
        choices=("auto", "off", "require"),
        help="undo a shift that GeoTIFFs themselves show: where it is sure (default), never, or else fail",
    )
    damage.add_argument(
        "--districts", type=Path, metavar="GEOJSON", help="polygons; the report of GeoTIFFs counts buildings in each"
    )
    for when in ("pre", "post"):
        damage.add_argument(
            f"--{when}-tile",
            type=Path,
            action="append",
            default=[],
            metavar="TIF",
            help=f"another tile of the {when} image, of two GeoTIFFs; may be given several times",
        )
    damage.add_argument(
        "--post-date",
        action="append",
        default=[],
        metavar="DATE",
        help="of POST, and then of each --post-tile: images of several dates, such as 2018-10-11, are a series for a "
        "model that reads one",
    )
    damage.add_argument(
        "--footprints",
        type=Path,
        metavar="GEOJSON",
        help="polygons of buildings, which are graded in the place of those that a model finds",
    )
    for name, what in _RASTERS.items():
        damage.add_argument(
            f"--{name}", type=Path, metavar="TIF", help=f"of two images: {what}, for models that take it"
        )
    damage.add_argument(
        "--output-crs",
        metavar="CRS",
        help="of .gpkg, .fgb and .parquet: that of the pre image (source) or EPSG's code, as EPSG:32633; else WGS 84",
    )
    damage.add_argument(
        "--uncertain-below",
        type=float,
        metavar="P",
        help="confidence below which buildings of GeoTIFFs are uncertain (default 0.5)",
    )
    damage.add_argument(
        "--tta",
        choices=("flip",),
        help="have GeoTIFFs seen in a mirror too, which takes twice as long: buildings tell how far both views differ",
    )
    damage.add_argument(
        "--declouded",
        action="store_true",
        help="take clouds off both images first; buildings on ground that is invented in their place are uncertain",
    )
    damage.add_argument("--json", action="store_true", help="print one line of JSON per pair, not a table")
    damage.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    pairs, strays = _find(options.paths)
    for stray in strays:
        fail(f"{stray.path}: {stray.reason}")
    if names_file(options.out) and not can_be_saved(options.out):
        raise MisuseError(
            f"{options.out.suffix} is no format that scenes are saved in: .geojson, .tif, .gpkg, .fgb, .parquet, .shp "
            "or another that pyogrio writes polygons in; a folder has no ending"
        )
    if names_file(options.out) and len(options.paths) != 2:
        raise MisuseError("a file to save to is for two images; for a folder give a folder, and --format")
    tiles = {"pre": tuple(options.pre_tile), "post": tuple(options.post_tile)}
    if any(tiles.values()) and len(options.paths) != 2:
        raise MisuseError("tiles are of two images, not of a folder")
    rasters = {name: path for name in _RASTERS if (path := getattr(options, name)) is not None}
    if rasters and len(options.paths) != 2:
        raise MisuseError("what is known of the ground is of two images, not of a folder")
    if not pairs:
        raise MisuseError(
            f"no pairs in {options.paths[0]}: images are found by names like flood_00000001_pre_disaster.png"
        )
    sending = Sending(
        client,
        options.out,
        options.model,
        options.model_version,
        f".{options.format}",
        options.align,
        options.districts.read_bytes() if options.districts else None,
        options.footprints.read_bytes() if options.footprints else None,
        options.output_crs,
        options.uncertain_below,
        options.tta,
        options.declouded,
        tiles,
        tuple(options.post_date),
        rasters,
    )
    # One cheap question first: better one clear line than the same failure for every pair.
    client.ready()
    outcomes = _send(sending, pairs)
    done = [outcome for outcome in outcomes if not outcome.error]
    if options.json:
        for outcome in outcomes:
            print(json.dumps(outcome.as_json(), ensure_ascii=False))
    elif done:
        print(_table(done))
        folder = options.out.parent if sending.one_file else options.out
        print(f"\nSaved in {folder}: {', '.join(saved({one.pair.name: one.files for one in outcomes}))}")
    for outcome in outcomes:
        note(outcome.pair.name, outcome.notices)
        if outcome.error:
            fail(f"{outcome.pair.name}: {outcome.error}")
    return 0 if len(done) == len(outcomes) and not strays else 1


def _find(paths: Sequence[Path]) -> tuple[list[Pair], list[Stray]]:
    if len(paths) == 1 and paths[0].is_dir():
        return find_pairs(paths[0])
    if len(paths) == 2 and not any(path.is_dir() for path in paths):
        return [name_pair(*paths)], []
    raise MisuseError("give two images, or one folder")


def _send(sending: Sending, pairs: Sequence[Pair]) -> list[Outcome]:
    """Send the pairs and return the outcomes in their order; bars show the tiles of one, or how many are done."""
    if len(pairs) > 1:
        return in_flight(pairs, sending.run, "pair")
    with bar("tile") as progress:
        return [sending.run(pairs[0], progress)]


def _table(outcomes: Sequence[Outcome]) -> str:
    """Return the buildings per class of every pair that went well, and their sum, as aligned text."""
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.buildings))
    rows = [["pair", "buildings", *names]]
    rows += [[o.pair.name, *_counts(names, [o])] for o in outcomes]
    if len(outcomes) > 1:
        rows.append(["all", *_counts(names, outcomes)])
    return align(rows)


def _counts(names: Sequence[str], outcomes: Sequence[Outcome]) -> list[str]:
    """Return the number of buildings, and of those of each class, over `outcomes`."""
    per_class = [sum(outcome.buildings.get(name, 0) for outcome in outcomes) for name in names]
    return [str(count) for count in (sum(per_class), *per_class)]
