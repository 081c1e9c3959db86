"""`python -m export evaluate` for models that take clicks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.networks import INTERACTIVE
from export.tasks.damage.figures import Measurement
from export.tasks.interactive.benchmark import MOST_CLICKS, Trace, trace
from export.tasks.interactive.classical import CLASSICAL
from export.tasks.interactive.data import LabelledObject, read_objects
from export.tasks.interactive.methods import Method
from export.tasks.interactive.opened import interactive_models, open_checkpoint, open_interactive
from export.tasks.interactive.report import card_figures, save_plot, table
from gateway.repository.card import read_card

_BASELINE = "grabcut"
_BASELINE_NAME = "GrabCut, given the same tight box"


def takes_clicks(path: Path) -> bool:
    """Return whether `path` is a checkpoint or a folder of an interactive model, or a repository that holds any.

    Raises:
        CheckpointError: the file is no checkpoint.
        OSError: the folder's card cannot be read.
    """
    if path.is_file():
        return read_checkpoint(path).architecture in INTERACTIVE
    card = path / "card.json"
    return read_card(card).clicks is not None if card.is_file() else bool(interactive_models(path))


def evaluate_clicks(path: Path, data: Path, split: str, out: Path | None, plot: Path | None) -> str:
    """Return the table of one model, or of a repository's, beside every tool without a model.

    Args:
        path: see `takes_clicks`.
        data: a folder that `read_objects` takes.
        split: which of its objects are asked.
        out: where a single model's figures are saved, for `build --figures`.
        plot: where a picture of IoU against clicks is saved.

    Raises:
        EvaluationError: there is no such model or no object, or figures of several models are to be saved.
    """
    objects = [labelled for labelled in read_objects(data) if labelled.split == split]
    if not objects:
        raise EvaluationError(f"{data} has no object in the split {split!r}")
    if path.is_file():
        opened = [open_checkpoint(path)]
    elif (path / "card.json").is_file():
        path = path.resolve()
        opened = [open_interactive(path.parent, path.name)]
    else:
        opened = [open_interactive(path, name) for name in interactive_models(path)]
    if out is not None and len(opened) > 1:
        raise EvaluationError("figures are saved of one model; name its folder")
    methods: list[Method] = [*CLASSICAL, *(each.method for each in opened)]
    results = {method.name: list(_traces(method, objects)) for method in methods}
    if out is not None:
        figures = card_figures(split, results[opened[0].method.name], _BASELINE_NAME, results[_BASELINE])
        measurement = Measurement(source_digest=opened[0].source_digest, figures=(figures,))
        out.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if plot is not None:
        save_plot(results, plot)
    return table(results)


def _traces(method: Method, objects: Sequence[LabelledObject]) -> Iterator[Trace]:
    for labelled in tqdm(objects, desc=method.name, leave=False):
        yield trace(method, labelled, MOST_CLICKS - method.first)
