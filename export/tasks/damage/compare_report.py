"""A comparison for people: a table in Markdown, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict

from export.tasks.damage.metrics import CLASSES

_COLUMNS = {
    "localisation_f1": "localisation F1",
    "localisation_iou": "IoU",
    **{f"{name}_f1": f"{name} F1" for name in CLASSES[1:]},
    "damage_f1_harmonic_mean": "damage F1",
    "xview2_score": "xView2 score",
    "pixel_accuracy": "accuracy",
}
_SHOWN = ("localisation_f1", "damage_f1_harmonic_mean", "xview2_score")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Row(_Part):
    """One model.

    Attributes:
        name: its name.
        metrics: see `export.tasks.damage.metrics.metrics`; those of location alone where it grades no damage.
        seconds: median time for a pair of 1024×1024 pixels, tiling and blending included; None of a constant.
        size: bytes of its files.
        parameters: of its networks.
    """

    name: str
    metrics: dict[str, float]
    seconds: float | None = None
    size: int = 0
    parameters: int = 0


class Comparison(_Part):
    """All models on one split.

    Attributes:
        split: its name.
        pairs: how many it has.
        rows: the models, and last the best answer that is the same for every pixel.
        buildings: model that grades crops → its figures over the true footprints, each building counting once; last
            the commonest grade for all.
    """

    split: str
    pairs: int
    rows: tuple[Row, ...]
    buildings: dict[str, dict[str, float]]


def markdown(comparison: Comparison) -> str:
    """Return the models as a table, and under it what a table cannot say."""
    fastest = min(row.seconds for row in comparison.rows if row.seconds is not None)
    heads = ["model", *_COLUMNS.values(), "time", "MB", "parameters"]
    rows = [[row.name, *_cells(row.metrics), *_costs(row, fastest)] for row in comparison.rows]
    lines = _table(heads, rows)
    lines += [
        "",
        f"On {comparison.pairs} pairs of `{comparison.split}`. Damage F1 is the harmonic mean of the four, over pixels "
        "of true buildings; accuracy is over all pixels. Time is for a pair of 1024×1024 pixels, as a multiple of the "
        "fastest in this run.",
    ]
    if comparison.buildings:
        columns = [*(f"{name}_f1" for name in CLASSES[1:]), "damage_f1_harmonic_mean", "damage_f1_mean", "accuracy"]
        lines += ["", "On true footprints, each building counting once:", ""]
        heads = ["model", *(f"{name} F1" for name in CLASSES[1:]), "harmonic mean", "mean", "accuracy"]
        found = comparison.buildings.items()
        lines += _table(heads, [[name, *(f"{figures[key]:.3f}" for key in columns)] for name, figures in found])
    return "\n".join(lines)


def save_plot(comparison: Comparison, path: Path) -> None:
    """Write the comparison as PNG: scores as bars (left), score against time (right)."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    bars, times = figure.subplots(1, 2, width_ratios=(2, 1))
    width = 0.8 / len(_SHOWN)
    for index, key in enumerate(_SHOWN):
        places = [place + (index - 1) * width for place in range(len(comparison.rows))]
        heights = [row.metrics.get(key, 0.0) for row in comparison.rows]
        bars.bar_label(bars.bar(places, heights, width, label=_COLUMNS[key]), fmt=_unless_zero, fontsize="x-small")
    bars.set_xticks(range(len(comparison.rows)), [row.name for row in comparison.rows], fontsize="small")
    bars.set(ylim=(0, 1), title=f"{comparison.pairs} pairs of {comparison.split}")
    bars.legend(fontsize="small")
    bars.grid(axis="y", alpha=0.3)
    fastest = min(row.seconds for row in comparison.rows if row.seconds is not None)
    for row in comparison.rows:
        if row.seconds is not None and "xview2_score" in row.metrics:
            place = (row.seconds / fastest, row.metrics["xview2_score"])
            times.scatter(*place)
            times.annotate(row.name, place, textcoords="offset points", xytext=(5, 4), fontsize="small")
    times.set(xlabel="time, as a multiple of the fastest", ylabel=_COLUMNS["xview2_score"], title="score and cost")
    # Room for the names beside the points.
    times.set_xlim(0, 1.5 * times.get_xlim()[1])
    times.set_ylim(0, 1.1 * times.get_ylim()[1])
    times.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _unless_zero(value: float) -> str:
    return f"{value:.2f}" if value else ""


def _cells(figures: Mapping[str, float]) -> Iterator[str]:
    located = "xview2_score" not in figures
    for key in _COLUMNS:
        value = figures.get("localisation_accuracy" if located and key == "pixel_accuracy" else key)
        yield "–" if value is None else f"{value:.3f}"


def _costs(row: Row, fastest: float) -> list[str]:
    if row.seconds is None:
        return ["–"] * 3
    return [f"×{row.seconds / fastest:.2f}", f"{row.size / 1e6:.2f}", f"{row.parameters:,}"]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
