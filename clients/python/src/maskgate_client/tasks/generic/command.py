"""`maskgate ask`: send files to any task of the gateway, save what comes back, and say what it is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskgate_client.answers import LabelMapReport, ScoreReport
from maskgate_client.call import JSON
from maskgate_client.client import Client
from maskgate_client.command import MisuseError, Parents, align, ending_of, note, save, targets, text
from maskgate_client.errors import Rejected
from maskgate_client.service import Task
from maskgate_client.tasks.ct.answers import CtReport
from maskgate_client.tasks.ct.command import lesion_rows
from maskgate_client.tasks.generic.protocol import Answer
from maskgate_client.tasks.interactive.answers import MaskReport

# What reports of these kinds bring along, where it is not said and the task has it.
_USUAL: Mapping[str, Sequence[str]] = {
    "label map": ("label_map", "overlay"),
    "masks": ("mask", "overlay"),
    "image": ("image",),
}
_PNG = b"\x89PNG"


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    ask = commands.add_parser(
        "ask",
        parents=[parents.remote, parents.model],
        help="send files to any task that the gateway has",
        description="Without a task, those that the gateway has are listed. Files are the task's parts in its order. "
        "Saved are the report and what it brings along, or with --accept one file.",
    )
    ask.add_argument("task", nargs="?", metavar="TASK", help="as the gateway names it")
    ask.add_argument("files", nargs="*", type=Path, metavar="IMAGE", help="one per part, in the order of the parts")
    ask.add_argument("--accept", metavar="TYPE", help="media type of the answer; default: application/json")
    ask.add_argument(
        "--include", action="append", default=[], metavar="NAME", help="what the report brings along; may be repeated"
    )
    ask.add_argument(
        "--set", action="append", default=[], type=setting, metavar="NAME=VALUE", help="a parameter; may be repeated"
    )
    ask.add_argument("--out", type=Path, default=Path("answers"), metavar="DIR", help="default: ./answers")
    ask.add_argument("--force", action="store_true", help="replace files that are there already")
    ask.add_argument("--json", action="store_true", help="print the gateway's JSON answer in one line, not a table")
    ask.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    known = {task.name: task for task in client.tasks()}
    if options.task is None:
        rows = [[t.name, t.title, ", ".join(part.name for part in t.parts), t.answer] for t in known.values()]
        print(align([["task", "title", "parts", "answer"], *rows]))
        return 0
    task = known.get(options.task)
    if task is None:
        raise MisuseError(f"this gateway has no task {options.task!r}; it has {', '.join(known)}")
    required = sum(part.required for part in task.parts)
    if not required <= len(options.files) <= len(task.parts):
        # Required parts may be followed by optional ones alone, or it would be unclear which file is which.
        raise MisuseError(f"{task.name} takes {' '.join(p.name if p.required else f'[{p.name}]' for p in task.parts)}")
    name = options.files[0].resolve().stem if options.files else task.name
    kind = options.accept or JSON
    ending = ending_of(kind) or ""
    (main_file,) = targets(options.out, name, [f"_{task.name}{ending}"], force=options.force)
    answer = _answer(client, task, options)
    if isinstance(answer, bytes):
        save({main_file: answer})
        print(json.dumps({"files": [str(main_file)]}) if options.json else f"Saved {main_file}")
        return 0
    pictures = answer.files if isinstance(answer, CtReport) else answer.pictures
    endings = [f"_{which}{'.png' if content.startswith(_PNG) else ''}" for which, content in pictures.items()]
    paths = targets(options.out, name, endings, force=options.force)
    contents = dict(zip(paths, pictures.values(), strict=True)) | {main_file: text(answer.document)}
    files = save(contents)
    if options.json:
        print(json.dumps(answer.document, ensure_ascii=False))
    else:
        print(align(_rows(answer)))
        print(f"\nSaved in {options.out}: {', '.join(file.name for file in files)}")
    note(name, answer.notices)
    return 0


def _answer(client: Client, task: Task, options: argparse.Namespace) -> Answer:
    """Return the answer, with the usual pictures where none are named and the task has them."""
    parts = sorted(task.parts, key=lambda part: not part.required)
    files = {part.name: file for part, file in zip(parts, options.files, strict=False)}

    def ask(include: Sequence[str]) -> Answer:
        more: dict[str, Any] = {**dict(options.set), **files}
        return client.ask(
            task, accept=options.accept, model=options.model, version=options.model_version, include=include, **more
        )

    usual = () if options.include or options.accept else _USUAL.get(task.answer, ())
    try:
        return ask(options.include or usual)
    except Rejected as refused:
        if not usual or refused.pointer != "/include":
            raise
        return ask(())


def _rows(report: LabelMapReport | CtReport | ScoreReport | MaskReport) -> list[list[str]]:
    """Return what a report says in the main, as the rows of a table."""
    if isinstance(report, CtReport):
        return lesion_rows(report)
    if isinstance(report, ScoreReport):
        rows = [[name, f"{score:.4f}", "*" if name == report.label else ""] for name, score in report.scores.items()]
        return [["class", "score", "label"], *rows]
    if isinstance(report, MaskReport):
        rows = [[str(o.value), str(o.area), " ".join(map(str, o.box or ()))] for o in report.objects]
        return [["object", "area", "box"], *rows]
    counts = report.counts()
    return [
        ["class", "share", "pixels", "regions"],
        *([c.name, f"{c.share:.2%}", str(c.pixels), str(counts.get(c.name, ""))] for c in report.classes),
    ]


def setting(text: str) -> tuple[str, str]:
    """Return the name and the value that an option gives a parameter."""
    name, equals, value = text.partition("=")
    if not name.isidentifier() or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
