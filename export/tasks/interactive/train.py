"""Training of a network of clicks on labelled objects: seeded, limited by steps and by time, resumable after a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from export.checkpoints.files import Checkpoint
from export.tasks.damage.data import DataError
from export.tasks.interactive.benchmark import mean_ious, traces
from export.tasks.interactive.clicked import TorchClicks
from export.tasks.interactive.data import LabelledObject, read_objects
from export.tasks.interactive.methods import DEXTRMethod, IOGMethod, Method
from export.tasks.interactive.recipe import ClickRecipe
from export.tasks.interactive.run import ClickRun
from export.tasks.interactive.samples import Sampler, load_photo
from export.training.loop import run_to_end

_FURTHER = 5


def train_clicks(
    recipe: ClickRecipe,
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    resume: bool = True,
    start: Checkpoint | None = None,
) -> Path:
    """Train a network and return the path of its checkpoint, ``out/model.pt``.

    What lies beside it is that of `export.tasks.damage.train.train`.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_objects` takes, with the splits "train" and "val".
        out: the run's folder, made where it is missing.
        minutes: replaces the recipe's limit of time.
        device: ``cpu`` or ``cuda``.
        seed: of the first weights and of every sample.
        resume: go on from ``last.pt`` where there is one; else start anew.
        start: weights to begin with; every one is taken over that the network has too, in the same shape.

    Raises:
        DataError: ``data`` cannot be read, or lacks one of the splits.
        ValueError: ``last.pt`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    objects = read_objects(data)
    training, validation = ([each for each in objects if each.split == split] for split in ("train", "val"))
    if not training or not validation:
        raise DataError(f"{data} lacks the split {'val' if training else 'train'}")
    photos = [load_photo(each) for each in training]
    sampler = Sampler(photos, recipe.geometry, recipe.prompt, recipe.draw, seed)
    run = ClickRun(recipe, minutes or recipe.minutes, device, seed)
    if start is not None:
        run.start_from_network(start)
    run_to_end(run, sampler.batch, run.learn, partial(_figures, run, validation), out, resume=resume)
    checkpoint = out / "model.pt"
    run.export(checkpoint, describe(training))
    return checkpoint


def describe(training: Sequence[LabelledObject]) -> str:
    """Return in words what a network was learnt from: objects, and how many of each collection."""
    sources = Counter(each.source for each in training if each.source)
    listed = ", ".join(f"{count} {source}" for source, count in sources.most_common())
    return f"{len(training)} labelled objects" + (f" ({listed})" if listed else "") + " and composites made from them"


def method_of(recipe: ClickRecipe, network: TorchClicks) -> Method:
    """Return how the benchmark works with a network trained by `recipe`."""
    if recipe.prompt == "dextr":
        return DEXTRMethod(network, recipe.geometry, recipe.threshold)
    return IOGMethod(recipe.network, network, recipe.geometry, recipe.threshold, refines=recipe.rounds > 0)


def _figures(run: ClickRun, objects: Sequence[LabelledObject]) -> dict[str, float]:
    """Return the mean IoU over the objects after the first clicks, and after five more where the network takes any."""
    method = method_of(run.recipe, TorchClicks(run.average, run.device))
    ious = mean_ious(traces(method, objects, _FURTHER))
    shown = {0: ious[0], len(ious) - 1: ious[-1]}
    return {f"IoU after {method.first + further} clicks": iou for further, iou in shown.items()}
