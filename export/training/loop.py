"""The loop that any run goes through: learn, evaluate now and then, and save so that a kill costs a minute."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from tqdm import tqdm

from export.training.curves import save_curves
from export.training.state import State

Batch = TypeVar("Batch")

EVALUATIONS = 20
"""How often a run is evaluated, evenly over its progress."""

_SAVE_SECONDS = 60.0


def run_to_end(
    state: State,
    batch: Callable[[int], Batch],
    learn: Callable[[Batch], dict[str, float]],
    figures: Callable[[], dict[str, float]],
    out: Path,
    *,
    resume: bool,
) -> None:
    """Step to the end of a run.

    Args:
        state: at its start, or where it was saved.
        batch: returns the batch of a step; called in another thread, one step ahead.
        learn: takes one step and returns its losses by name.
        figures: returns the validation figures of the averaged weights.
        out: where ``history.json`` and ``curves.png`` are renewed at every evaluation, and ``last.pt`` every minute.
        resume: go on from ``last.pt`` where there is one; else from where the state is.

    Raises:
        ValueError: ``last.pt`` is of another recipe.
    """
    last = out / "last.pt"
    if resume and last.is_file():
        state.load(last)
    losses: list[dict[str, float]] = []
    saved, done = state.seconds, round(100 * state.progress, 1)
    # The next batch is made while the network learns from this one.
    with ThreadPoolExecutor(1) as pool, tqdm(total=100, initial=done, desc=state.plan.network, unit="%") as bar:
        upcoming = pool.submit(batch, state.step)
        while state.progress < 1:
            current, upcoming = upcoming.result(), pool.submit(batch, state.step + 1)
            losses.append(learn(current))
            bar.set_postfix(step=state.step, loss=sum(losses[-1].values()), refresh=False)
            bar.update(round(100 * state.progress, 1) - bar.n)
            due = state.progress * EVALUATIONS >= len(state.history) + 1
            if due:
                means = {f"loss {name}": fmean(loss[name] for loss in losses) for name in losses[0]}
                state.history.append({"step": state.step, "seconds": state.seconds, **means, **figures()})
                state.tick()
                losses.clear()
                (out / "history.json").write_text(json.dumps(state.history, indent=1) + "\n", encoding="utf-8")
                save_curves(state.history, out / "curves.png")
            if due or state.seconds - saved > _SAVE_SECONDS:
                state.save(last)
                saved = state.seconds
        upcoming.cancel()
