"""The loop that any run goes through: learn, evaluate now and then, and save so that a kill costs a minute."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.training.run import Run

Batch = TypeVar("Batch")

EVALUATIONS = 20
"""How often a run is evaluated, evenly over its progress."""

_SAVE_SECONDS = 60.0


def run_to_end(
    run: Run[Any, Batch],
    batch: Callable[[int], Batch],
    figures: Callable[[Checkpoint], dict[str, float]],
    out: Path,
    *,
    resume: bool,
) -> Path:
    """Step to the end of a run and return the path of its checkpoint, ``out/model.pt``.

    Beside it lie ``history.json`` and ``curves.png``, renewed at every evaluation, and ``last.pt``, from which a run
    that was killed goes on with the very samples it would have seen. The checkpoint holds the averaged weights of the
    last step: the validation data chooses nothing.

    Args:
        run: at its start, or where it was saved.
        batch: returns the batch of a step; called in another thread, one step ahead.
        figures: returns the validation figures of what would be kept now.
        out: a folder, made where it is missing.
        resume: go on from ``last.pt`` where there is one; else from where the run is.

    Raises:
        ValueError: ``last.pt`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    last, kept = out / "last.pt", out / "model.pt"
    if resume and last.is_file():
        run.load(last)
    losses: list[dict[str, float]] = []
    saved, done = run.seconds, round(100 * run.progress, 1)
    # The next batch is made while the network learns from this one.
    with ThreadPoolExecutor(1) as pool, tqdm(total=100, initial=done, desc=run.recipe.network, unit="%") as bar:
        upcoming = pool.submit(batch, run.step)
        while run.progress < 1:
            current, upcoming = upcoming.result(), pool.submit(batch, run.step + 1)
            losses.append(run.learn(current))
            bar.set_postfix(step=run.step, loss=sum(losses[-1].values()), refresh=False)
            bar.update(round(100 * run.progress, 1) - bar.n)
            due = run.progress * EVALUATIONS >= len(run.history) + 1
            if due:
                means = {f"loss {name}": fmean(loss[name] for loss in losses) for name in losses[0]}
                # What evaluation draws, such as the first weights of another network, is not the run's.
                with torch.random.fork_rng(devices=[]):
                    found = figures(run.checkpoint())
                run.history.append({"step": run.step, "seconds": run.seconds, **means, **found})
                run.tick()
                losses.clear()
                (out / "history.json").write_text(json.dumps(run.history, indent=1) + "\n", encoding="utf-8")
                save_curves(run.history, out / "curves.png")
            if due or run.seconds - saved > _SAVE_SECONDS:
                run.save(last)
                saved = run.seconds
        upcoming.cancel()
    write_checkpoint(run.checkpoint(), kept)
    return kept


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
