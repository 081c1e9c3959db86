"""Models of CT on labelled slices, as the gateway would ask them, beside the answer that there is no lesion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.graphs.runners import Runner, open_file, torch_runner
from export.graphs.wrap import graph_of
from export.networks import CT
from export.repository.stored import sound_model
from export.tasks.catalogue import entry_of
from export.tasks.ct.data import LabelledSlice, read_slices
from export.tasks.ct.metrics import SliceCounts, metrics
from export.tasks.damage.figures import Measurement, report
from export.tasks.specs import SliceEntry
from gateway.repository.card import Figures, read_card
from gateway.repository.store import file_digest
from gateway.vision.labels import decide
from gateway.vision.windowing import Window, from_grid, to_grid

Predictor = Callable[[NDArray[np.int16]], NDArray[np.uint8]]
"""Takes a slice (H, W) in Hounsfield units, returns its label map (H, W)."""


@dataclass(frozen=True)
class SliceModel:
    """A graph that labels slices and what is needed to ask it; `source_digest` is that of its checkpoint."""

    run: Runner
    size: int
    classes: tuple[str, ...]
    threshold: float | None
    window: Window
    source_digest: str

    def predict(self, units: NDArray[np.int16]) -> NDArray[np.uint8]:
        """Return the label map (H, W) of a slice (H, W) in Hounsfield units."""
        _, probabilities = self.run([to_grid(units, self.size)[None]])
        return decide(from_grid(probabilities[0], *units.shape), self.threshold)


def shows_slices(path: Path) -> bool:
    """Return whether `path` is a checkpoint or a folder of a model of CT.

    Raises:
        CheckpointError: the file is no checkpoint.
        OSError: the folder's card cannot be read.
    """
    if path.is_file():
        return read_checkpoint(path).architecture in CT
    card = path / "card.json"
    return card.is_file() and read_card(card).window is not None


def evaluate_slices(path: Path, data: Path, split: str, out: Path | None) -> str:
    """Return the table of a model's figures, and save them where `out` says, for `build --figures`.

    Args:
        path: see `shows_slices`.
        data: a folder that `read_slices` takes.
        split: which of its slices are asked.
        out: a JSON file, or None.

    Raises:
        EvaluationError: there is no such model, it labels nothing, or the split is empty.
    """
    slices = [each for each in read_slices(data) if each.split == split]
    if not slices:
        raise EvaluationError(f"{data} has no slice in the split {split!r}")
    model = _open_checkpoint(path) if path.is_file() else _open_folder(path)
    figures = measure(model.predict, slices, split, model.classes, model.window)
    if out:
        measurement = Measurement(source_digest=model.source_digest, figures=(figures,))
        out.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return report(figures, model.classes)


def measure(
    predict: Predictor, slices: Sequence[LabelledSlice], split: str, classes: Sequence[str], window: Window
) -> Figures:
    """Return the figures of a predictor over `slices`, next to those of "no lesion anywhere". Shows its progress."""
    counts = count(predict, tqdm(slices, unit="slice", leave=False), len(classes), window)
    baseline = count(lambda units: np.zeros(units.shape, np.uint8), slices, len(classes), window)
    return Figures(
        split=split,
        images=len(slices),
        metrics=metrics(counts, classes),
        baseline_name="no lesion anywhere",
        baseline=metrics(baseline, classes),
        confusion=tuple(tuple(int(cell) for cell in row) for row in counts.confusion),
    )


def count(predict: Predictor, slices: Iterable[LabelledSlice], classes: int, window: Window) -> SliceCounts:
    """Return the counts of a predictor over slices, on the slices' own grids."""
    counts = SliceCounts(classes)
    for each in slices:
        counts.add(predict(each.read_units(window)), each.read_labels())
    return counts


def _open_checkpoint(file: Path) -> SliceModel:
    checkpoint = read_checkpoint(file)
    entry = entry_of(checkpoint.architecture, SliceEntry)
    return SliceModel(
        run=torch_runner(graph_of(checkpoint.network(), checkpoint, entry).module),
        size=checkpoint.size,
        classes=tuple(spec.name for spec in entry.classes),
        threshold=checkpoint.threshold,
        window=Window(*checkpoint.window),
        source_digest=file_digest(file),
    )


def _open_folder(folder: Path) -> SliceModel:
    model = sound_model(folder)
    card = model.card
    if card.window is None or card.task != "ct":
        raise EvaluationError(f"{folder.name} labels no slices")
    outputs = [spec.name for spec in card.outputs]
    return SliceModel(
        run=open_file(model.versions[model.newest].read_bytes(), card.format, ["image"], outputs),
        size=card.inputs[0].shape[0],
        classes=tuple(spec.name for spec in card.classes),
        threshold=card.threshold,
        window=Window(card.window.low, card.window.high),
        source_digest=card.source_digest,
    )
