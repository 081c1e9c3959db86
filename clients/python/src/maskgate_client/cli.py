"""The command `maskgate`: draw example pairs, send images of each task and save the answers, list models."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx

from maskgate_client.batch import Sending, align, describe, run_pairs, saved, table
from maskgate_client.client import Client
from maskgate_client.connection import is_key
from maskgate_client.ct_command import run_ct
from maskgate_client.errors import MaskgateError, Unreachable
from maskgate_client.grammar import parser
from maskgate_client.images import png_bytes
from maskgate_client.pairs import Pair, Stray, find_pairs, name_pair
from maskgate_client.prompts import Prompt
from maskgate_client.radiograph_command import run_radiograph
from maskgate_client.radiograph_command import table as score_table
from maskgate_client.scene_command import FORMS, SceneWish
from maskgate_client.scenes import draw_scene
from maskgate_client.segment import run_image
from maskgate_client.waste_command import run_waste


def main(arguments: Sequence[str] | None = None, *, transport: httpx.BaseTransport | None = None) -> int:
    """Run the command and return its exit code: 0 all well, 1 something failed, 2 nothing to do or misused.

    Args:
        arguments: the command line; by default the process's own.
        transport: how requests travel, for tests.
    """
    options = parser().parse_args(arguments)
    key = os.environ.get("MASKGATE_KEY", "").strip() or None
    if key and not is_key(key):
        return _fail("MASKGATE_KEY is not a key: it has spaces, or characters that are not ASCII", 2)
    run = {
        "damage": _damage,
        "segment": _segment,
        "ct": _ct,
        "radiograph": _radiograph,
        "waste": _waste,
        "models": _models,
    }
    try:
        if options.command == "example":
            return _example(options)
        with Client(options.url, key=key, transport=transport) as client:
            return run[options.command](client, options)
    except Unreachable as error:
        return _fail(f"{error}; is it running? `--url` or MASKGATE_URL name another address")
    except (MaskgateError, OSError) as error:
        return _fail(describe(error))
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


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
    if options.out.suffix.lower() in FORMS and len(options.paths) != 2:
        return _fail("a file to save to is for two images; for a folder give a folder, and --format", 2)
    if not pairs:
        return _fail(
            f"no pairs in {options.paths[0]}: images are found by names like flood_00000001_pre_disaster.png", 2
        )
    scenes = SceneWish(
        f".{options.format}", options.align, options.districts.read_bytes() if options.districts else None
    )
    sending = Sending(client, options.out, options.model, options.model_version, scenes)
    # One cheap question first: better one clear line than the same failure for every pair.
    client.ready()
    folder = options.out.parent if sending.one_file else options.out
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = run_pairs(sending, pairs)
    done = [outcome for outcome in outcomes if not outcome.error]
    if options.json:
        for outcome in outcomes:
            print(json.dumps(outcome.as_json(), ensure_ascii=False))
    elif done:
        print(table(done))
        print(f"\nSaved in {folder}: {', '.join(saved(done))}")
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


def _segment(client: Client, options: argparse.Namespace) -> int:
    """Send the image, save the answers, print what was found."""
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
    if prompt.document().keys() <= {"tight"}:
        return _fail("show the object: by --box, --click, --extreme, --polygon or --stroke", 2)
    cut = run_image(
        client,
        options.image,
        prompt,
        options.out,
        model=options.model,
        version=options.model_version,
        threshold=options.threshold,
        coco=options.coco,
    )
    _tell(cut, cut.notices, options)
    return 0


def _ct(client: Client, options: argparse.Namespace) -> int:
    """Send the CT, save the answers, print what was found."""
    found = run_ct(
        client,
        options.image,
        options.out,
        model=options.model,
        version=options.model_version,
        include=options.include,
    )
    _tell(found, found.report.notices, options)
    return 0


def _radiograph(client: Client, options: argparse.Namespace) -> int:
    """Send the film, save the picture that is asked for, print the scores."""
    if options.saliency_class and not options.saliency:
        return _fail("--saliency-class is of the picture that --saliency saves", 2)
    report = run_radiograph(
        client,
        options.image,
        model=options.model,
        version=options.model_version,
        threshold=options.threshold,
        saliency=options.saliency,
        saliency_class=options.saliency_class,
    )
    if options.json:
        print(json.dumps(report.document, ensure_ascii=False))
    else:
        print(score_table(report))
        if options.saliency:
            print(f"\nSaved {options.saliency}: the evidence for {report.saliency_class}")
    _note(options.image.stem, report.notices)
    return 0


def _waste(client: Client, options: argparse.Namespace) -> int:
    """Send the photograph, save the answers, print what was found."""
    found = run_waste(
        client,
        options.image,
        options.out,
        model=options.model,
        version=options.model_version,
        min_area=options.min_area,
    )
    _tell(found, found.report.notices, options)
    return 0


def _models(client: Client, options: argparse.Namespace) -> int:
    """Print the models; 1 if any of them failed."""
    models = client.models()
    rows = [["name", "task", "version", "state", "reason"]]
    print(align(rows + [[m.name, m.task or "", str(m.version or ""), m.state, m.reason] for m in models]))
    return 0 if all(model.state == "ready" for model in models) else 1


class _Found(Protocol):
    """What was found in one file and saved."""

    @property
    def name(self) -> str:
        """What it is called by."""

    @property
    def files(self) -> Sequence[Path]:
        """What was saved."""

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""

    def table(self) -> str:
        """Return it for people."""


def _tell(found: _Found, notices: Sequence[str], options: argparse.Namespace) -> None:
    """Print what was found, as the options say, and the notices beside it."""
    if options.json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        print(found.table())
        print(f"\nSaved in {options.out}: {', '.join(path.name for path in found.files)}")
    _note(found.name, notices)


def _note(name: str, notices: Sequence[str]) -> None:
    for notice in notices:
        print(f"maskgate: {name}: note: {notice}", file=sys.stderr)


def _fail(message: str, code: int = 1) -> int:
    """Print `message` as an error and return `code`."""
    print(f"maskgate: {message}", file=sys.stderr)
    return code
