"""`python -m export benchmark`: methods for clicks side by side, on photographs of any size, in any box."""

from __future__ import annotations

import argparse
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from export.errors import EvaluationError
from export.evaluation.command import of_split
from export.evaluation.engine import Bench
from export.evaluation.opened import open_models
from export.tasks.interactive.benchmark import FURTHER, MOST_CLICKS, Trace, mean_at, obeyed, seconds, traces
from export.tasks.interactive.data import LabelledObject, read_objects
from export.tasks.interactive.evaluate import READING, plot, rows
from export.tasks.interactive.methods import Hand, Method, exact, model_method, tool_methods
from export.tasks.interactive.simulate import loosened
from gateway.errors import MaskgateError

SCALES = (1, 2, 4, 8)
"""How many times as large photographs are made."""

_PIXELS, _SHARE = 8, 0.1

Rows = list[list[str]]


def _by_hand() -> Hand:
    rng = np.random.default_rng(0)
    return lambda box, height, width: loosened(rng, box, height, width)


def _looser(pixels: int, share: float) -> Hand:
    return lambda box, height, width: box.framed(pixels, share).clipped(height, width)


HANDS: Mapping[str, Callable[[], Hand]] = {
    "exact": lambda: exact,
    f"{_PIXELS} px loose": lambda: _looser(_PIXELS, 0),
    "as people draw them": _by_hand,
    f"looser by {_SHARE:.0%} of the longer side": lambda: _looser(0, _SHARE),
}
"""How boxes are drawn; each is made anew, so that every method is given the same boxes."""


@dataclass(frozen=True)
class Measured:
    """What was measured, by the names of methods.

    Attributes:
        split: part of the data.
        objects: how many there were.
        curves: each object with up to twenty clicks.
        scales: the first answers, by how much the photographs were enlarged.
        hands: answers with five further clicks, by how the box was drawn; of methods that take one.
    """

    split: str
    objects: int
    curves: Mapping[str, Sequence[Trace]]
    scales: Mapping[str, Mapping[int, Sequence[Trace]]]
    hands: Mapping[str, Mapping[str, Sequence[Trace]]]


def add_command(commands: Any) -> None:
    """Add `benchmark` to the commands."""
    command = commands.add_parser("benchmark", help="put methods for clicks side by side, at any scale, in any box")
    command.set_defaults(command=_command)
    command.add_argument("model", type=Path, nargs="+", help="checkpoint, model folder, or repository")
    command.add_argument("--data", type=Path, required=True, help="folder of images/ and masks/")
    command.add_argument("--split", default="val")
    command.add_argument("--methods", nargs="+", metavar="NAME", help="models and tools; default: all there are")
    command.add_argument("--objects", type=int, metavar="N", help="the first N of the split alone")
    command.add_argument("--scales", type=int, nargs="*", default=SCALES, metavar="N", help="1 2 4 8 by default")
    command.add_argument("--report", type=Path, help="write a page of HTML too")


def _command(options: argparse.Namespace) -> int:
    measured = measure(
        options.model, options.data, options.split, options.methods, options.objects, sorted(set(options.scales))
    )
    if options.report:
        options.report.write_text(page(measured), encoding="utf-8")
    print(text(measured))
    return 0


def measure(
    paths: Sequence[Path],
    data: Path,
    split: str,
    names: Sequence[str] | None = None,
    count: int | None = None,
    scales: Sequence[int] = SCALES,
) -> Measured:
    """Measure models and tools by the gateway's own selectors. Shows its progress.

    Args:
        paths: see `open_models`.
        data: a folder that `read_objects` takes.
        split: which part of it is asked.
        names: of the methods; None: all.
        count: how many objects at most.
        scales: how many times as large the photographs are made.

    Raises:
        ExportError: models or data cannot be read, or there is no such method, object or model of clicks.
    """
    opened = open_models(paths)
    objects = of_split(read_objects(data), split, data, "object")[:count]
    try:
        with Bench(opened.served) as bench:
            methods = _methods(bench, [model.name for model in opened.models], names)
            return Measured(
                split,
                len(objects),
                {
                    method.name: traces(bench, method, _shown(objects, method.name), MOST_CLICKS - method.first)
                    for method in methods
                },
                {
                    method.name: {
                        scale: traces(bench, method, _shown(objects, f"{method.name} ×{scale}"), 0, scale=scale)
                        for scale in scales
                    }
                    for method in methods
                },
                {
                    method.name: {
                        name: traces(bench, method, _shown(objects, f"{method.name}, {name}"), FURTHER, hand=hand())
                        for name, hand in HANDS.items()
                    }
                    for method in methods
                    if method.boxed
                },
            )
    except MaskgateError as error:
        raise EvaluationError(error.detail) from error


def _methods(bench: Bench, models: Sequence[str], names: Sequence[str] | None) -> list[Method]:
    known = {each.name: each for each in [*tool_methods(bench), *(model_method(bench, name) for name in models)]}
    if unknown := sorted(set(names or ()) - known.keys()):
        raise EvaluationError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return [method for name, method in known.items() if names is None or name in names]


def _shown(objects: Sequence[LabelledObject], name: str) -> Any:
    return tqdm(objects, desc=name, leave=False)


def tables(measured: Measured) -> dict[str, Rows]:
    """Return what was measured as tables by their headings, the first row of each its head."""
    found = {"Clicks": rows(measured.curves), "Pixels and time": _shares(measured.curves)}
    if any(measured.scales.values()):
        scales = list(next(iter(measured.scales.values())))
        found["IoU of the first answer, photographs enlarged"] = [
            ["method", *(f"×{scale}" for scale in scales), *(f"boundary IoU ×{scale}" for scale in scales)],
            *(
                [
                    name,
                    *(f"{mean_at(each, 0):.3f}" for each in by_scale.values()),
                    *(f"{mean_at(each, 0, lambda step: step.boundary):.3f}" for each in by_scale.values()),
                ]
                for name, by_scale in measured.scales.items()
            ),
        ]
    if measured.hands:
        found["IoU by how the box is drawn"] = [
            ["method", "box", "IoU", *(f"+{further}" for further in range(1, FURTHER + 1)), "obeyed"],
            *(
                [
                    *(name, hand, *(f"{mean_at(each, further):.3f}" for further in range(FURTHER + 1))),
                    "{}/{}".format(*obeyed(each)),
                ]
                for name, by_hand in measured.hands.items()
                for hand, each in by_hand.items()
            ),
        ]
    return found


def _shares(curves: Mapping[str, Sequence[Trace]]) -> Rows:
    heads = ["method", "OP", f"OP +{FURTHER}", "PC", f"PC +{FURTHER}", "first answer", f"object with {FURTHER} more"]
    found = [heads]
    for name, results in curves.items():
        shares = [
            f"{mean_at(results, further, of):.3f}"
            for of in (lambda step: step.overall, lambda step: step.per_class)
            for further in (0, FURTHER)
        ]
        found.append([name, *shares, *(f"{each:.2f} s" for each in seconds(results))])
    return found


_HEADING = "Objects by clicks, {objects} objects of `{split}`"
_NOTES = (
    *READING,
    "Boundary IoU: of the pixels within 2 % of the image's diagonal from an outline. OP: share of an image's pixels "
    "that are right; PC: mean of the shares of object and ground. All are means over the objects, without void pixels.",
)


def text(measured: Measured) -> str:
    """Return what was measured in Markdown."""
    parts = [_HEADING.format(objects=measured.objects, split=measured.split)]
    for heading, lines in tables(measured).items():
        drawn = [f"| {' | '.join(cells)} |" for cells in (lines[0], ["---"] * len(lines[0]), *lines[1:])]
        parts.append("\n".join([f"### {heading}", "", *drawn]))
    return "\n\n".join([*parts, *_NOTES])


def page(measured: Measured) -> str:
    """Return what was measured as a page of HTML that needs nothing else."""
    picture = BytesIO()
    plot(measured.curves).savefig(picture, format="png", dpi=110)
    heading = escape(_HEADING.format(objects=measured.objects, split=measured.split).replace("`", ""))
    drawn = "\n".join(f"<h2>{escape(name)}</h2>\n{_html(lines)}" for name, lines in tables(measured).items())
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in _NOTES)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{heading}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; padding: 2rem; max-width: 1360px; font: 15px/1.45 system-ui, sans-serif; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8884; }}
td:first-child, th:first-child {{ text-align: left; }}
img {{ max-width: 100%; }}
</style>
<h1>{heading}</h1>
<img alt="Mean IoU against clicks" src="data:image/png;base64,{b64encode(picture.getvalue()).decode()}">
{drawn}
{notes}
</html>
"""


def _html(lines: Rows) -> str:
    head, *body = (
        "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
        for kind, cells in zip(["th", *["td"] * len(lines)], lines, strict=False)
    )
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"
