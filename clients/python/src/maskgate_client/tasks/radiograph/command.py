"""`maskgate radiograph`: send a radiograph, save the picture that is asked for, and say how the models score it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import MisuseError, Parents, align, note, save, share
from maskgate_client.tasks.radiograph.protocol import FilmReport


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    radiograph = commands.add_parser(
        "radiograph",
        parents=[parents.remote, parents.model],
        help="score a radiograph of the chest; a research demonstration, not a diagnosis",
        description="By default all models that are ready are asked, and their scores averaged.",
    )
    radiograph.add_argument("image", type=Path, metavar="FILM", help="DICOM, or grey PNG or JPEG with bone bright")
    radiograph.add_argument(
        "--threshold", type=share, metavar="P", help="least probability of the first class to decide for it"
    )
    radiograph.add_argument(
        "--saliency", type=Path, metavar="OUT.png", help="save a picture of what the scores rest on"
    )
    radiograph.add_argument("--saliency-class", metavar="NAME", help="for which class; default: the one decided for")
    radiograph.add_argument("--json", action="store_true", help="print one line of JSON, not a table")
    radiograph.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    if options.saliency_class and not options.saliency:
        raise MisuseError("--saliency-class is of the picture that --saliency saves")
    report = client.radiograph(
        options.image,
        model=options.model,
        version=options.model_version,
        threshold=options.threshold,
        include=("saliency",) if options.saliency else (),
        saliency_class=options.saliency_class,
    )
    if options.saliency:
        save({options.saliency: report.pictures["saliency"]})
    if options.json:
        print(json.dumps(report.document, ensure_ascii=False))
    else:
        print(_table(report))
        if options.saliency:
            print(f"\nSaved {options.saliency}: the evidence for {report.saliency_class}")
    note(options.image.stem, report.notices)
    return 0


def _table(report: FilmReport) -> str:
    """Return the scores and the label by model as aligned text, those of the ensemble last."""
    rows = [["model", *report.scores, "label"]]
    rows += [_row(entry.provenance.model, entry.scores, entry.label) for entry in report.models]
    return align([*rows, _row(report.model, report.scores, report.label)])


def _row(name: str, scores: Mapping[str, float], label: str) -> list[str]:
    return [name, *(f"{score:.4f}" for score in scores.values()), label]
