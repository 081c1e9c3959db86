"""The training loop: seeded, limited by steps and by time, and resumable after a kill."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from export.architectures import INPUTS
from export.training.curves import save_curves
from export.training.evaluate import evaluate
from export.training.inference import served_predictor
from export.training.metrics import CLASSES
from export.training.recipes import Recipe
from export.training.run import Run
from export.training.samples import Sampler, load_tile
from export.training.scenes import DrawnPair
from export.training.xbd import LabelledPair, Pair, read_pairs

EVALUATIONS = 20
"""How often a run is evaluated, evenly over its progress."""

_SAVE_SECONDS = 60.0
_FIRST_SCENE = 1000
"""Scenes before this one are left to examples and tests; the last ones validate where there are no photographs."""

_VALIDATION_SCENES = 4


def train(
    recipe: Recipe,
    data: Path | None,
    out: Path,
    *,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    resume: bool = True,
) -> Path:
    """Train a network and return the path of its checkpoint, ``out/model.pt``.

    Beside it lie ``history.json`` and ``curves.png``, renewed at every evaluation, and ``last.pt``, from which a run
    that was killed goes on with the very samples it would have seen. The checkpoint holds the averaged weights of the
    last step: the validation pairs choose nothing.

    Args:
        recipe: every choice of the run.
        data: an xBD folder; None trains and validates on drawn scenes alone.
        out: the run's folder, made where it is missing.
        minutes: replaces the recipe's limit of time.
        device: ``cpu`` or ``cuda``.
        seed: of the first weights and of every sample.
        resume: go on from ``last.pt`` where there is one; else start anew.

    Raises:
        DataError: ``data`` cannot be read.
        ValueError: there is nothing to train on, or ``last.pt`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    pairs = [] if data is None else read_pairs(data)
    training = [pair for pair in pairs if pair.split == "train"]
    scenes = [DrawnPair(_FIRST_SCENE + index) for index in range(recipe.scenes + _VALIDATION_SCENES)]
    validation = [pair for pair in pairs if pair.split == "val"] or scenes[recipe.scenes :]
    photographs = [load_tile(pair, recipe.reduction) for pair in training]
    drawn = [load_tile(pair, recipe.reduction) for pair in scenes[: recipe.scenes]]
    sampler = Sampler(photographs, drawn, recipe.draw, seed)
    run = Run(recipe, minutes or recipe.minutes, device, seed)
    last = out / "last.pt"
    if resume and last.is_file():
        run.load(last)
    _learn(run, sampler, validation, out)
    checkpoint = out / "model.pt"
    run.export(checkpoint, describe(training, recipe.scenes))
    return checkpoint


def describe(training: Sequence[Pair], scenes: int) -> str:
    """Return in words what a network was learnt from: pairs, how many of each event, and drawn scenes."""
    events = ", ".join(f"{count} {event}" for event, count in Counter(pair.event for pair in training).most_common())
    parts = [f"{len(training)} xBD pairs ({events})"] * bool(training) + [f"{scenes} drawn scenes"] * bool(scenes)
    return " and ".join(parts)


def _learn(run: Run, sampler: Sampler, validation: Sequence[LabelledPair], out: Path) -> None:
    """Step to the end of the run; evaluate and save on the way."""
    losses: list[dict[str, float]] = []
    saved, done = run.seconds, round(100 * run.progress, 1)
    # The next batch is made while the network learns from this one.
    with ThreadPoolExecutor(1) as pool, tqdm(total=100, initial=done, desc=run.recipe.network, unit="%") as bar:
        upcoming = pool.submit(sampler.batch, run.step)
        while run.progress < 1:
            batch, upcoming = upcoming.result(), pool.submit(sampler.batch, run.step + 1)
            losses.append(run.learn(batch))
            bar.set_postfix(step=run.step, loss=sum(losses[-1].values()), refresh=False)
            bar.update(round(100 * run.progress, 1) - bar.n)
            due = run.progress * EVALUATIONS >= len(run.history) + 1
            if due:
                means = {f"loss {name}": fmean(loss[name] for loss in losses) for name in losses[0]}
                run.history.append({"step": run.step, "seconds": run.seconds, **means, **_figures(run, validation)})
                run.tick()
                losses.clear()
                (out / "history.json").write_text(json.dumps(run.history, indent=1) + "\n", encoding="utf-8")
                save_curves(run.history, out / "curves.png")
            if due or run.seconds - saved > _SAVE_SECONDS:
                run.save(out / "last.pt")
                saved = run.seconds
        upcoming.cancel()


def _figures(run: Run, validation: Sequence[LabelledPair]) -> dict[str, float]:
    """Return the validation figures of the averaged weights; damage only from networks that tell it."""
    recipe = run.recipe
    predict = served_predictor(run.average, recipe.network, recipe.framing, run.device)
    counts = evaluate(predict, validation).counts
    figures = {"localisation F1": counts.localisation.f1}
    if "post" in INPUTS[recipe.network]:
        figures |= {f"{name} F1": f1 for name, f1 in zip(CLASSES[1:], counts.damage_f1, strict=True)}
        figures |= {"damage harmonic": counts.damage_harmonic, "xView2 score": counts.score}
    return figures
