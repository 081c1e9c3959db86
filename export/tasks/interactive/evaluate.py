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
from export.tasks.interactive.benchmark import MOST_CLICKS, Trace, mean_ious, traces
from export.tasks.interactive.data import read_objects
from export.tasks.interactive.methods import model_method, tool_methods
from gateway.repository.card import Figures

_BASELINE = "grabcut"
_BASELINE_NAME = "GrabCut, given the same tight box"

WANTED = (0.85, 0.90)
"""The IoUs that clicks are counted to."""

FURTHER = 5
"""How many clicks after the first ones the table and the cards list."""

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


def table(results: Results) -> str:
    """Return the methods side by side: mean IoU after the first clicks and five more, and clicks to each wanted IoU."""
    heads = ["method", "first", "IoU", *(f"+{n}" for n in range(1, FURTHER + 1))]
    heads += [f"NoC@{wanted:.2f}" for wanted in WANTED] + [f"never {WANTED[0]:.2f}"]
    rows = [heads]
    for name, found in results.items():
        ious = mean_ious(found)[: FURTHER + 1]
        cells = [f"{iou:.3f}" for iou in ious] + ["–"] * (FURTHER + 1 - len(ious))
        counts = [f"{_mean_clicks(found, wanted):.2f}" for wanted in WANTED]
        never = sum(max(one.ious) < WANTED[0] for one in found)
        rows.append([name, str(found[0].first), *cells, *counts, f"{never}/{len(found)}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"An object that never gets there counts {MOST_CLICKS} clicks."])


def metrics(found: Sequence[Trace]) -> dict[str, float]:
    """Return one method's figures by name, as a card lists them."""
    first = found[0].first
    ious = mean_ious(found)[: FURTHER + 1]
    return {
        **{f"mean IoU after {first + further} clicks": round(iou, 4) for further, iou in enumerate(ious)},
        **{f"clicks to IoU {wanted:.2f}": round(_mean_clicks(found, wanted), 2) for wanted in WANTED},
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
    figure.savefig(path, dpi=110)


def _mean_clicks(found: Sequence[Trace], wanted: float) -> float:
    return sum(one.clicks_to(wanted) for one in found) / len(found)
