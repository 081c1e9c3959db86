"""The command `maskgate`: draw example pairs, send images to each task and save the answers, list models."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from maskgate_client.client import Client
from maskgate_client.command import MisuseError, Parents, align, describe, fail, number
from maskgate_client.connection import DEFAULT_URL, is_key
from maskgate_client.errors import MaskgateError, Unreachable
from maskgate_client.images import png_bytes
from maskgate_client.jobs import command as jobs
from maskgate_client.scenes import SMALLEST, draw_scene
from maskgate_client.tasks.ct import command as ct
from maskgate_client.tasks.damage import command as damage
from maskgate_client.tasks.generic import command as generic
from maskgate_client.tasks.interactive import command as interactive
from maskgate_client.tasks.land import command as land
from maskgate_client.tasks.radiograph import command as radiograph
from maskgate_client.tasks.restore import command as restore
from maskgate_client.tasks.waste import command as waste
from maskgate_client.version import __version__

LARGEST_EXAMPLE = 4096
"""The largest side of an example, in pixels: beyond it drawing takes long and much memory."""


def main(arguments: Sequence[str] | None = None, *, transport: httpx.BaseTransport | None = None) -> int:
    """Run the command and return its exit code: 0 all well, 1 something failed, 2 nothing to do or misused.

    Args:
        arguments: the command line; by default the process's own.
        transport: how requests travel, for tests.
    """
    try:
        try:
            return _run(arguments, transport)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Who reads our output has gone. What is still to be written would be written at the exit, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(arguments: Sequence[str] | None, transport: httpx.BaseTransport | None) -> int:
    options = parser().parse_args(arguments)
    key = os.environ.get("MASKGATE_KEY", "").strip() or None
    if key and not is_key(key):
        return fail("MASKGATE_KEY is not a key: it has spaces, or characters that are not ASCII", 2)
    try:
        if options.command == "example":
            return _example(options)
        with Client(options.url, key=key, transport=transport) as client:
            code: int = options.run(client, options)
            return code
    except BrokenPipeError:
        raise
    except MisuseError as error:
        return fail(str(error), 2)
    except Unreachable as error:
        return fail(f"{error}; is it running? `--url` or MASKGATE_URL name another address")
    except (MaskgateError, OSError) as error:
        return fail(describe(error))
    except KeyboardInterrupt:
        return fail("interrupted", 130)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    root = argparse.ArgumentParser(
        "maskgate",
        description="Damage maps from pairs of satellite images, objects of any image by clicks, lesions in CT, "
        "scores of radiographs, waste on photographs, land cover, images without clouds.",
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
        "--model-version", type=number(1, 999_999_999), metavar="N", help="default: the newest that is ready"
    )
    _add_example(commands)
    for task in (damage, interactive, ct, radiograph, waste, land, restore, generic, jobs):
        task.add(commands, Parents(remote, model))
    models = commands.add_parser("models", parents=[remote], help="list the gateway's models")
    models.set_defaults(run=_models)
    return root


def _add_example(commands: Any) -> None:
    example = commands.add_parser("example", help="draw pairs to try the service with")
    example.add_argument("--out", type=Path, default=Path("example"), metavar="DIR", help="default: ./example")
    example.add_argument("--seed", type=number(0, 99_000_000), default=1, metavar="N", help="which town; default: 1")
    example.add_argument(
        "--size", type=number(SMALLEST, LARGEST_EXAMPLE), default=1024, metavar="N", help="side in pixels"
    )
    example.add_argument("--count", type=number(1, 10_000), default=1, metavar="N", help="how many towns")


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


def _models(client: Client, options: argparse.Namespace) -> int:
    """Print the models; 1 if any of them failed."""
    models = client.models()
    rows = [["name", "task", "version", "state", "reason"]]
    print(align(rows + [[m.name, m.task or "", str(m.version or ""), m.state, m.reason] for m in models]))
    return 0 if all(model.state == "ready" for model in models) else 1


def _url(text: str) -> str:
    """Return `text` if it is an address a gateway can have."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address like {DEFAULT_URL}")
    return text
