"""Curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def save_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write losses (left) and validation figures (right) over steps as PNG; each row of the history is one evaluation.

    Keys that start with ``loss`` are losses, every other one but ``step`` and ``seconds`` is a figure from 0 to 1.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, figures = figure.subplots(1, 2)
    steps = [row["step"] for row in history]
    names = [name for name in history[0] if name not in ("step", "seconds")] if history else []
    for name in names:
        axis = losses if name.startswith("loss") else figures
        axis.plot(steps, [row[name] for row in history], marker=".", label=name)
    for axis, title in ((losses, "training loss"), (figures, "validation")):
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize="small")
    figures.set_ylim(0, 1)
    figure.savefig(path, dpi=110)
