"""Built or trained models that grade one building, on the labelled buildings of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.graphs.runners import Runner, open_file, torch_runner
from export.graphs.wrap import graph_of
from export.networks import CROPS
from export.repository.stored import sound_model
from export.tasks.building.data import Town, read_town
from export.tasks.building.evaluate import best_constant, confusion, metrics, names
from export.tasks.catalogue import entry_of
from export.tasks.damage.data import read_pairs
from export.tasks.damage.figures import Measurement, report
from export.tasks.specs import CropEntry
from gateway.repository.card import Figures, read_card
from gateway.repository.store import StoredModel, file_digest


@dataclass(frozen=True)
class Grader:
    """A graph that grades crops, and how they are cut; `source_digest` is that of its checkpoint."""

    run: Runner
    size: int
    grow: float
    source_digest: str

    def scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return scores, float32 (n, 4), of crops (n, size, size, 3) RGB."""
        return self.run([crops])[0]


def grades_buildings(path: Path) -> bool:
    """Return whether `path` is a checkpoint or a folder of a model that grades one building.

    Raises:
        CheckpointError: the file is no checkpoint.
        OSError: the folder's card cannot be read.
    """
    if path.is_file():
        return read_checkpoint(path).architecture in CROPS
    card = path / "card.json"
    return card.is_file() and read_card(card).crop is not None


def evaluate_buildings(path: Path, data: Path, split: str, out: Path | None) -> str:
    """Return the table of a model's figures, and save them where `out` says, for `build --figures`.

    Args:
        path: see `grades_buildings`.
        data: an xBD folder.
        split: of whose pairs the buildings are.
        out: a JSON file, or None.

    Raises:
        EvaluationError: there is no such model, or the split has no judged building.
    """
    pairs = [pair for pair in read_pairs(data) if pair.split == split]
    grader = _open_checkpoint(path) if path.is_file() else opened(sound_model(path))
    figures = measure(grader, [read_town(pair) for pair in pairs], split)
    if out:
        measurement = Measurement(source_digest=grader.source_digest, figures=(figures,))
        out.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return report(figures, names(), "buildings")


def measure(grader: Grader, towns: Sequence[Town], split: str) -> Figures:
    """Return the figures of a grader over buildings, next to those of the commonest grade for all.

    Raises:
        EvaluationError: there is no building.
    """
    counts = confusion(grader.scores, towns, grader.grow, grader.size)
    if not counts.any():
        raise EvaluationError(f"no building is graded in the split {split!r}")
    common = names()[int(counts.sum(axis=1).argmax())]
    return Figures(
        split=split,
        images=len(towns),
        buildings=dict(zip(names(), counts.sum(axis=1).tolist(), strict=True)),
        metrics=metrics(counts),
        baseline_name=f"{common} for every building",
        baseline=metrics(best_constant(counts)),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def opened(model: StoredModel) -> Grader:
    """Return a model of a repository, in its newest version.

    Raises:
        EvaluationError: it grades no crops.
    """
    card = model.card
    if card.crop is None:
        raise EvaluationError(f"{model.name} grades no crops")
    [output] = [spec.name for spec in card.outputs]
    run = open_file(model.versions[model.newest].read_bytes(), card.format, ["crop"], [output])
    return Grader(run, card.tile, card.crop.grow, card.source_digest)


def _open_checkpoint(file: Path) -> Grader:
    checkpoint = read_checkpoint(file)
    entry = entry_of(checkpoint.architecture, CropEntry)
    run = torch_runner(graph_of(checkpoint.network(), checkpoint, entry).module)
    return Grader(run, checkpoint.size, entry.grow, file_digest(file))
