"""The command `maskgate`: draw example pairs, send pairs, list models."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from maskgate_client.batch import align, describe, run_pairs, table
from maskgate_client.client import Client
from maskgate_client.errors import MaskgateError, Unreachable
from maskgate_client.images import png_bytes
from maskgate_client.pairs import Pair, Stray, find_pairs, name_pair
from maskgate_client.protocol import DEFAULT_URL
from maskgate_client.scenes import SMALLEST, draw_scene
from maskgate_client.version import __version__

LARGEST_EXAMPLE = 4096
"""The largest side of an example, in pixels: beyond it drawing takes long and much memory."""


def main(arguments: Sequence[str] | None = None, *, transport: httpx.BaseTransport | None = None) -> int:
    """Run the command and return its exit code: 0 all well, 1 something failed, 2 nothing to do or misused.

    Args:
        arguments: the command line; by default the process's own.
        transport: how requests travel, for tests.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "example":
            return _example(options)
        with Client(options.url, transport=transport) as client:
            return _models(client) if options.command == "models" else _damage(client, options)
    except Unreachable as error:
        return _fail(f"{error}; is it running? `--url` or MASKGATE_URL name another address")
    except (MaskgateError, OSError) as error:
        return _fail(describe(error))
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser("maskgate", description="Damage maps from pairs of satellite images.")
    parser.add_argument("--version", action="version", version=f"maskgate {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    remote = argparse.ArgumentParser(add_help=False)
    remote.add_argument(
        "--url",
        type=_url,
        default=os.environ.get("MASKGATE_URL") or DEFAULT_URL,
        help=f"address of the gateway (default: $MASKGATE_URL, else {DEFAULT_URL})",
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
        parents=[remote],
        help="send a pair, or a folder of pairs, and save the damage maps",
        usage="maskgate damage [options] (PRE POST | FOLDER)",
        description="In a folder (and its subfolder images/) pairs are found by the names of xBD, "
        "<disaster>_<8 digits>_{pre,post}_disaster.png, and of Ida-BD.",
    )
    damage.add_argument("paths", nargs="+", type=Path, metavar="PRE POST | FOLDER", help="two images, or a folder")
    damage.add_argument("--out", type=Path, default=Path("damage"), metavar="DIR", help="default: ./damage")
    damage.add_argument("--model", metavar="NAME", help="default: the gateway's choice")
    damage.add_argument(
        "--model-version", type=_number(1, 999_999_999), metavar="N", help="default: the newest that is ready"
    )
    damage.add_argument("--json", action="store_true", help="print one line of JSON per pair, not a table")

    commands.add_parser("models", parents=[remote], help="list the gateway's models")
    return parser


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


def _example(options: argparse.Namespace) -> int:
    """Draw the pairs and say what to do with them."""
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seed, options.seed + options.count):
        scene = draw_scene(seed, options.size)
        for when, pixels in (("pre", scene.pre), ("post", scene.post)):
            path = options.out / f"example_{seed:08d}_{when}_disaster.png"
            path.write_bytes(png_bytes(pixels))
            print(path)
    print(f"\nNow try:  maskgate damage {shlex.quote(str(options.out))}")
    return 0


def _damage(client: Client, options: argparse.Namespace) -> int:
    """Send the pairs, save the answers, print the summary."""
    found = _find(options.paths)
    if found is None:
        return _fail("give two images, or one folder", 2)
    pairs, strays = found
    for stray in strays:
        _fail(f"{stray.path}: {stray.reason}")
    if not pairs:
        return _fail(
            f"no pairs in {options.paths[0]}: images are found by names like flood_00000001_pre_disaster.png", 2
        )
    # One cheap question first: better one clear line than the same failure for every pair.
    client.ready()
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes = run_pairs(client, pairs, options.out, options.model, options.model_version)
    done = [outcome for outcome in outcomes if not outcome.error]
    if options.json:
        for outcome in outcomes:
            print(json.dumps(outcome.as_json(), ensure_ascii=False))
    elif done:
        print(table(done))
        print(f"\nSaved in {options.out}: NAME_damage.png, NAME_overlay.png, NAME.json")
    for outcome in outcomes:
        for notice in outcome.notices:
            print(f"maskgate: {outcome.pair.name}: note: {notice}", file=sys.stderr)
        if outcome.error:
            _fail(f"{outcome.pair.name}: {outcome.error}")
    return 0 if len(done) == len(outcomes) and not strays else 1


def _find(paths: Sequence[Path]) -> tuple[list[Pair], list[Stray]] | None:
    """Return the pairs and strays that `paths` name, or None if they are neither a folder nor two files."""
    if len(paths) == 1 and paths[0].is_dir():
        return find_pairs(paths[0])
    if len(paths) == 2 and not any(path.is_dir() for path in paths):
        return [name_pair(*paths)], []
    return None


def _models(client: Client) -> int:
    """Print the models; 1 if any of them failed."""
    models = client.models()
    rows = [["name", "task", "version", "state", "reason"]]
    print(align(rows + [[m.name, m.task or "", str(m.version or ""), m.state, m.reason] for m in models]))
    return 0 if all(model.state == "ready" for model in models) else 1


def _fail(message: str, code: int = 1) -> int:
    """Print `message` as an error and return `code`."""
    print(f"maskgate: {message}", file=sys.stderr)
    return code
