"""A comparison for people: a table in Markdown, and a picture, of what models score and what papers state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict

from export.task import View
from gateway.repository.record import Training

Confusion = tuple[tuple[int, ...], ...]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Row(_Part):
    """One model, or another answer.

    Attributes:
        name: its name.
        metrics: figures by name.
        seconds: median time of an answer, in this process; None of what takes none.
        size: bytes of its files.
        parameters: of its networks.
        training: what its card says of how it was learnt.
        confusion: counts [truth, answer], where the task has them.
    """

    name: str
    metrics: dict[str, float]
    seconds: float | None = None
    size: int = 0
    parameters: int = 0
    training: Training | None = None
    confusion: Confusion = ()


class Stated(_Part):
    """What a paper says of one network.

    Attributes:
        name: of the network, as the paper calls it.
        model: name of ours that is the same network; empty: there is none.
        recipe: how the name of our recipe ends, where several recipes train the network in the ways of the paper.
        metrics: figures, by the names that ours have.
    """

    name: str
    model: str = ""
    recipe: str = ""
    metrics: dict[str, float]

    def is_of(self, row: Row) -> bool:
        """Return whether a row of ours is this network, learnt in this way."""
        if row.name.partition(" ")[0] != self.model:
            return False
        recipe = row.training.recipe if row.training else ""
        return recipe.endswith(f"-{self.recipe}") if self.recipe else "-" not in recipe


class Paper(_Part):
    """A paper's table. Its data are others than ours: its figures say in which order networks came there.

    Attributes:
        source: the paper, and of what data its figures are.
        rows: its networks.
    """

    source: str
    rows: tuple[Stated, ...]


class Comparison(_Part):
    """All models of a task on one split.

    Attributes:
        task: its name.
        split: its name.
        images: how many examples it has.
        counts: labelled objects, or examples, per class.
        rows: the models, and after them trivial answers.
        sections: heading → model → other figures, for what is not measured by example.
        paper: what the paper states.
    """

    task: str
    split: str
    images: int
    counts: dict[str, int] = {}
    rows: tuple[Row, ...]
    sections: dict[str, dict[str, dict[str, float]]] = {}
    paper: Paper | None = None


def markdown(comparison: Comparison, view: View) -> str:
    """Return the models as a table, what the paper states as another, and under each what a table cannot say."""
    columns = view.columns or {name: name for name in comparison.rows[0].metrics}
    times = [row.seconds for row in comparison.rows if row.seconds is not None]
    heads = ["model", *columns.values(), "time", "MB", "parameters", "learnt"]
    rows = [[row.name, *_cells(row.metrics, columns), *_costs(row, min(times, default=0.0))] for row in comparison.rows]
    lines = _table(heads, rows)
    counted = ", ".join(f"{count} {name}" for name, count in comparison.counts.items() if count)
    asked = f"{comparison.images} {view.example}s of `{comparison.split}`{f' ({counted})' if counted else ''}"
    fastest = f", {1000 * min(times):.0f} ms" if times else ""
    time = f"Time is for {view.unit or f'one {view.example}'}, as a multiple of the fastest in this run{fastest}."
    lines += ["", " ".join(filter(None, (f"On {asked}.", view.note, time)))]
    for heading, found in comparison.sections.items():
        names = list(next(iter(found.values())))
        lines += ["", heading, ""]
        cells = ([name, *_cells(figures, names)] for name, figures in found.items())
        lines += _table(["model", *(name.replace("_", " ").replace(" f1", " F1") for name in names)], list(cells))
    if comparison.paper:
        lines += ["", f"{comparison.paper.source}:", "", *_stated(comparison, columns)]
    return "\n".join(lines)


def _stated(comparison: Comparison, columns: Mapping[str, str]) -> list[str]:
    """Return the paper's networks, ours beside them where it has the same."""
    paper = comparison.paper
    if paper is None:
        return []
    stated = [name for name in columns if any(name in row.metrics for row in paper.rows)]
    heads = ["network", "ours"]
    for name in stated:
        heads += [f"{columns[name]}, paper", f"{columns[name]}, ours"]
    rows = []
    for row in paper.rows:
        same = next(filter(row.is_of, comparison.rows), None)
        cells = [row.name, same.name if same else "–"]
        for name in stated:
            cells += [*_cells(row.metrics, [name]), *_cells(same.metrics if same else {}, [name])]
        rows.append(cells)
    return _table(heads, rows)


def save_plot(comparison: Comparison, view: View, path: Path) -> None:
    """Write the comparison as PNG or SVG: figures as bars and the paper's as marks (left), score against time (right).

    The suffix of the path chooses the format.
    """
    first = comparison.rows[0].metrics
    shown = view.shown or tuple(name for name, value in first.items() if 0 <= value <= 1)[:3]
    score = view.score or shown[0]
    figure = Figure(figsize=(max(12.0, 1.3 * len(comparison.rows) + 4), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    bars, times = figure.subplots(1, 2, width_ratios=(2, 1))
    width = 0.8 / len(shown)
    paper = comparison.paper.rows if comparison.paper else ()
    stated = {row.name: next((each.metrics for each in paper if each.is_of(row)), {}) for row in comparison.rows}
    for index, key in enumerate(shown):
        places = [place + (index - (len(shown) - 1) / 2) * width for place in range(len(comparison.rows))]
        heights = [row.metrics.get(key, 0.0) for row in comparison.rows]
        bars.bar_label(
            bars.bar(places, heights, width, label=view.columns.get(key, key)), fmt=_unless_zero, fontsize="x-small"
        )
        marks = [
            (place, stated[row.name][key])
            for place, row in zip(places, comparison.rows, strict=True)
            if key in stated.get(row.name, {})
        ]
        if marks:
            label = f"{view.columns.get(key, key)}, paper"
            bars.plot(*zip(*marks, strict=True), "D", color=f"C{index}", mec="black", label=label)
    names = [row.name.replace(" ", "\n", 1) for row in comparison.rows]
    bars.set_xticks(range(len(names)), names, fontsize="x-small", rotation=20)
    bars.set(ylim=(0, 1), title=f"{comparison.images} {view.example}s of {comparison.split}")
    bars.legend(fontsize="small")
    bars.grid(axis="y", alpha=0.3)
    timed = [(row, row.seconds) for row in comparison.rows if row.seconds is not None and score in row.metrics]
    fastest = min((row.seconds for row in comparison.rows if row.seconds is not None), default=1.0)
    for row, seconds in timed:
        place = (seconds / fastest, row.metrics[score])
        times.scatter(*place)
        times.annotate(row.name, place, textcoords="offset points", xytext=(5, 4), fontsize="small")
    times.set(
        xlabel="time, as a multiple of the fastest", ylabel=view.columns.get(score, score), title="score and cost"
    )
    # Room for the names beside the points.
    times.set_xlim(0, 1.5 * times.get_xlim()[1])
    times.set_ylim(0, 1.1 * times.get_ylim()[1])
    times.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _unless_zero(value: float) -> str:
    return f"{value:.2f}" if value else ""


def _cells(figures: Mapping[str, float], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        value = figures.get(name)
        yield "–" if value is None else f"{value:.3f}"


def _costs(row: Row, fastest: float) -> list[str]:
    training = row.training
    learnt = f"{training.steps:,} steps, {training.seconds / 60:.1f} min" if training else "–"
    return [
        "–" if row.seconds is None else f"×{row.seconds / fastest:.2f}",
        f"{row.size / 1e6:.2f}" if row.size else "–",
        f"{row.parameters:,}" if row.parameters else "–",
        learnt,
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
