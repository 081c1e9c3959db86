"""The training loop: seeded, limited by steps and by time, and resumable after a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from export.networks import INPUTS
from export.synthetic.towns import DrawnPair
from export.tasks.damage.data import LabelledPair, Pair, read_pairs
from export.tasks.damage.evaluate import evaluate
from export.tasks.damage.inference import served_predictor
from export.tasks.damage.recipe import Recipe
from export.tasks.damage.run import Run
from export.tasks.damage.samples import Sampler, load_tile
from export.training.loop import run_to_end
from export.training.metrics import CLASSES

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
    training, scenes, validation = training_and_validation(data, recipe.scenes)
    photographs = [load_tile(pair, recipe.reduction) for pair in training]
    drawn = [load_tile(pair, recipe.reduction) for pair in scenes]
    sampler = Sampler(photographs, drawn, recipe.draw, seed)
    run = Run(recipe, minutes or recipe.minutes, device, seed)
    run_to_end(run, sampler.batch, run.learn, lambda: _figures(run, validation), out, resume=resume)
    checkpoint = out / "model.pt"
    run.export(checkpoint, describe(training, recipe.scenes))
    return checkpoint


def training_and_validation(
    data: Path | None, scenes: int
) -> tuple[list[Pair], list[DrawnPair], Sequence[LabelledPair]]:
    """Return the pairs to learn from, so many drawn scenes, and what validates: pairs, or where there are none, scenes.

    Raises:
        DataError: ``data`` cannot be read.
    """
    pairs = [] if data is None else read_pairs(data)
    drawn = [DrawnPair(_FIRST_SCENE + index) for index in range(scenes + _VALIDATION_SCENES)]
    validation = [pair for pair in pairs if pair.split == "val"]
    return [pair for pair in pairs if pair.split == "train"], drawn[:scenes], validation or drawn[scenes:]


def describe(training: Sequence[Pair], scenes: int) -> str:
    """Return in words what a network was learnt from: pairs, how many of each event, and drawn scenes."""
    events = ", ".join(f"{count} {event}" for event, count in Counter(pair.event for pair in training).most_common())
    parts = [f"{len(training)} xBD pairs ({events})"] * bool(training) + [f"{scenes} drawn scenes"] * bool(scenes)
    return " and ".join(parts)


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
