"""The loop that any run goes through: learn, evaluate now and then, and save so that a kill costs a minute."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import cv2
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch.utils.data import DataLoader, Dataset
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
        batch: returns the batch of a step; called in another thread, one step ahead, or in the run's `workers`.
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
        batches = _batches(batch, run)
        upcoming = pool.submit(next, batches)
        while run.progress < 1:
            current, upcoming = upcoming.result(), pool.submit(next, batches)
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


def _batches(batch: Callable[[int], Batch], run: Run[Any, Batch]) -> Iterator[Batch]:
    """Return the batches of a run's steps, from where it is."""
    if not run.workers:
        return map(batch, count(run.step))
    # Workers are forked, so that they share the images held in memory; OpenCV's own threads would not be there.
    cv2.setNumThreads(0)
    loader = DataLoader(
        _Steps(batch),
        batch_size=None,
        sampler=range(run.step, run.recipe.steps),
        num_workers=run.workers,
        collate_fn=_as_it_is,
        multiprocessing_context="fork",
        generator=torch.Generator(),
    )
    return iter(loader)


class _Steps(Dataset[Batch]):
    """The batches of a run by step."""

    def __init__(self, batch: Callable[[int], Batch]) -> None:
        self._batch = batch

    def __getitem__(self, step: int) -> Batch:
        return self._batch(step)


def _as_it_is(batch: Batch) -> Batch:
    return batch


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
