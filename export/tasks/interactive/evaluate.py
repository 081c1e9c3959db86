"""Interactive models in the benchmark of clicks, asked by the gateway's selectors, beside tools without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.opened import Opened
from export.tasks.interactive.benchmark import (
    FURTHER,
    MOST_CLICKS,
    NOISE,
    WANTED,
    Trace,
    mean_at,
    mean_clicks,
    mean_ious,
    obeyed,
    setbacks,
    traces,
)
from export.tasks.interactive.data import read_objects
from export.tasks.interactive.methods import model_method, tool_methods
from gateway.repository.record import Figures

_BASELINE = "grabcut"
_BASELINE_NAME = "GrabCut, given the same tight box"

Results = Mapping[str, Sequence[Trace]]


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of models over the objects of a split, next to GrabCut's.

    Raises:
        DataError: the folder is none that `read_objects` takes.
        EvaluationError: the split is empty.
    """
    objects = of_split(read_objects(data), split, data, "object")
    with Bench(opened.served) as bench:
        methods = [*tool_methods(bench), *(model_method(bench, model.name) for model in opened.models)]
        results: dict[str, Sequence[Trace]] = {}
        seconds: dict[str, float] = {}
        for method in methods:
            shown = tqdm(objects, desc=method.name, leave=False)
            before = len(bench.seconds)
            results[method.name] = traces(bench, method, shown, MOST_CLICKS - method.first)
            if taken := bench.seconds[before:]:
                seconds[method.name] = median(taken)
    figures = {
        model.name: card_figures(split, results[model.name], _BASELINE_NAME, results[_BASELINE])
        for model in opened.models
    }
    others = {name: metrics(found) for name, found in results.items() if name not in figures}
    return Report(figures, table(results), partial(save_plot, results), seconds, others)


def rows(results: Results) -> list[list[str]]:
    """Return the methods side by side, a head and a row of cells each.

    They are the mean IoU after the first clicks and five more, boundary IoU after the first and after the last of
    these, clicks to each wanted IoU, objects that never get to the lower one, clicks that made a mask worse, and clicks
    obeyed.
    """
    heads = [
        "method",
        "first",
        "IoU",
        *(f"+{n}" for n in range(1, FURTHER + 1)),
        "boundary IoU",
        f"boundary +{FURTHER}",
    ]
    heads += [f"NoC@{wanted:.2f}" for wanted in WANTED] + [f"never {WANTED[0]:.2f}", "worse", "obeyed"]
    found = [heads]
    for name, results_of in results.items():
        refined = len(results_of[0].steps) > 1
        cells = [f"{iou:.3f}" for iou in mean_ious(results_of)[: FURTHER + 1]]
        cells += ["–"] * (FURTHER + 1 - len(cells))
        edges = [f"{mean_at(results_of, further, lambda step: step.boundary):.3f}" for further in (0, FURTHER)]
        counts = [f"{mean_clicks(results_of, wanted):.2f}" for wanted in WANTED]
        never = sum(max(one.ious) < WANTED[0] for one in results_of)
        falls = setbacks(results_of)
        worse = f"{sum(fall > NOISE for fall in falls)}/{len(falls)}"
        kept = "{}/{}".format(*obeyed(results_of))
        found.append(
            [
                *(name, str(results_of[0].first), *cells, edges[0], edges[1] if refined else "–", *counts),
                *(f"{never}/{len(results_of)}", worse if refined else "–", kept if refined else "–"),
            ]
        )
    return found


def table(results: Results) -> str:
    """Return `rows` as text, and how to read them."""
    lines = rows(results)
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines]
    return "\n".join([*drawn, *READING])


READING = (
    f"NoC: the mean number of clicks to that IoU; an object that never gets there counts {MOST_CLICKS}.",
    f"worse: of the first {FURTHER} further clicks, those that lowered the IoU by more than {NOISE}; obeyed: those "
    "that the mask shows as clicked.",
)
"""How to read `rows`."""


def metrics(found: Sequence[Trace]) -> dict[str, float]:
    """Return one method's figures by name, as a card lists them."""
    first = found[0].first
    ious = mean_ious(found)[: FURTHER + 1]
    return {
        **{f"mean IoU after {first + further} clicks": round(iou, 4) for further, iou in enumerate(ious)},
        f"mean boundary IoU after {first} clicks": round(mean_at(found, 0, lambda step: step.boundary), 4),
        **{f"clicks to IoU {wanted:.2f}": round(mean_clicks(found, wanted), 2) for wanted in WANTED},
        f"share of objects at IoU {WANTED[0]:.2f} within 5 clicks": round(
            sum(one.clicks_to(WANTED[0]) <= 5 for one in found) / len(found), 4
        ),
    }


def card_figures(split: str, found: Sequence[Trace], baseline: str, baseline_found: Sequence[Trace]) -> Figures:
    """Return a method's figures beside a baseline's on the same objects."""
    return Figures(
        split=split,
        images=len(found),
        metrics=metrics(found),
        baseline_name=baseline,
        baseline=metrics(baseline_found),
    )


def save_plot(results: Results, path: Path) -> None:
    """Write mean IoU against clicks as PNG, one line per method; a single answer is a point."""
    plot(results).savefig(path, dpi=110)


def plot(results: Results) -> Figure:
    """Return mean IoU against clicks as a figure."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, found in results.items():
        ious = mean_ious(found)
        axis.plot(range(found[0].first, found[0].first + len(ious)), ious, marker=".", label=name)
    objects = len(next(iter(results.values())))
    axis.set(xlabel="clicks", ylabel=f"mean IoU over {objects} objects", ylim=(0, 1), xlim=(1.5, MOST_CLICKS + 0.5))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    return figure
