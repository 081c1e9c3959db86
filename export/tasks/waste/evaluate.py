"""Models of waste on labelled photographs, as the gateway would ask them, beside the answer "background everywhere"."""

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
from export.networks import WASTE
from export.tasks.catalogue import entry_of
from export.tasks.damage.figures import Measurement, report
from export.tasks.specs import WasteEntry
from export.tasks.waste.catalogue import LABEL_SETS
from export.tasks.waste.data import LabelledPhoto, read_photos
from export.training.confusion import Matrix, class_ious, confusion_of, mean_iou
from gateway.repository.card import Figures, ResizeSpec, read_card
from gateway.repository.store import file_digest, scan
from gateway.vision.labels import decide
from gateway.vision.resizing import from_scale, to_scale
from gateway.vision.tiling import Stitcher, gather, plan

UInt8 = NDArray[np.uint8]
Predictor = Callable[[UInt8], UInt8]
"""Takes a photograph (H, W, 3) RGB, returns its label map (H, W)."""


@dataclass(frozen=True)
class PhotoModel:
    """A graph that labels photographs and what is needed to ask it; `source_digest` is that of its checkpoint."""

    run: Runner
    resize: ResizeSpec
    tile: int
    overlap: int
    classes: tuple[str, ...]
    threshold: float | None
    source_digest: str

    def predict(self, photo: UInt8) -> UInt8:
        """Return the label map (H, W) of a photograph (H, W, 3) RGB, scaled, tiled and blended as when it is served."""
        height, width = photo.shape[:2]
        scaled = to_scale(photo, self.resize.short, self.resize.long, self.resize.multiple)
        grid = plan(scaled.shape[0], scaled.shape[1], self.tile, self.overlap)
        stitcher = Stitcher(grid, len(self.classes))
        bands = []
        for row in range(len(grid.rows)):
            _, probabilities = self.run([gather(scaled, grid, row)])
            bands += [band for _, band in stitcher.add(probabilities)]
        blended = np.concatenate(bands)
        return np.concatenate([decide(band, self.threshold) for _, band in from_scale(blended, (height, width))])


def labels_photos(path: Path) -> bool:
    """Return whether `path` is a checkpoint or a folder of a model of waste.

    Raises:
        CheckpointError: the file is no checkpoint.
        OSError: the folder's card cannot be read.
    """
    if path.is_file():
        return read_checkpoint(path).architecture in WASTE
    card = path / "card.json"
    return card.is_file() and read_card(card).task == "waste"


def evaluate_photos(path: Path, data: Path, split: str, out: Path | None) -> str:
    """Return the table of a model's figures, and save them where `out` says, for `build --figures`.

    Args:
        path: see `labels_photos`.
        data: a folder that `read_photos` takes.
        split: which of its photographs are asked.
        out: a JSON file, or None.

    Raises:
        DataError: the folder cannot be read, or the split is empty.
        EvaluationError: there is no such model, or it knows other classes than the data.
    """
    photos = read_photos(data)
    model = _open_checkpoint(path) if path.is_file() else _open_folder(path.resolve())
    if model.classes != tuple(spec.name for spec in LABEL_SETS[photos.label_set]):
        raise EvaluationError(f"{path.name} knows {', '.join(model.classes)}, and no label set {photos.label_set!r}")
    figures = measure(model.predict, photos.of(split), split, model.classes)
    if out:
        measurement = Measurement(source_digest=model.source_digest, figures=(figures,))
        out.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return report(figures, model.classes)


def measure(predict: Predictor, photos: Sequence[LabelledPhoto], split: str, classes: Sequence[str]) -> Figures:
    """Return the figures of a predictor over photographs, next to those of "background everywhere". Shows progress."""
    counts = count(predict, tqdm(photos, unit="photo", leave=False), len(classes))
    baseline = count(lambda photo: np.zeros(photo.shape[:2], np.uint8), photos, len(classes))
    return Figures(
        split=split,
        images=len(photos),
        metrics=metrics(counts, classes),
        baseline_name="background everywhere",
        baseline=metrics(baseline, classes),
        confusion=tuple(tuple(int(cell) for cell in row) for row in counts),
    )


def count(predict: Predictor, photos: Iterable[LabelledPhoto], classes: int) -> Matrix:
    """Return the confusion matrix of a predictor over photographs, at the photographs' own sizes."""
    total = np.zeros((classes, classes), np.int64)
    for photo in photos:
        total += confusion_of(predict(photo.read_image()), photo.read_labels(), classes)
    return total


def metrics(confusion: Matrix, names: Sequence[str]) -> dict[str, float]:
    """Return every figure by name; `miou` is mmsegmentation's, which has the background among the classes.

    Classes that neither truth nor prediction hold have none.
    """
    values = {
        "miou": mean_iou(confusion),
        "miou_without_background": mean_iou(confusion, background=False),
        "pixel_accuracy": float(confusion.trace() / max(1, confusion.sum())),
    }
    for value, (name, iou) in enumerate(zip(names, class_ious(confusion), strict=True)):
        if iou is not None:
            values[f"{name}_iou"] = iou
        if truth := int(confusion[value].sum()):
            values[f"{name}_accuracy"] = float(confusion[value, value] / truth)
    return values


def _open_checkpoint(file: Path) -> PhotoModel:
    checkpoint = read_checkpoint(file)
    entry = entry_of(checkpoint.architecture, WasteEntry)
    graph = graph_of(checkpoint.network(), checkpoint, entry)
    return PhotoModel(
        run=torch_runner(graph.module),
        resize=entry.resize(checkpoint.size),
        tile=checkpoint.size,
        overlap=entry.overlap(checkpoint.size),
        classes=tuple(spec.name for spec in LABEL_SETS[checkpoint.classes]),
        threshold=checkpoint.threshold,
        source_digest=file_digest(file),
    )


def _open_folder(folder: Path) -> PhotoModel:
    repository = scan(folder.parent)
    model = repository.models.get(folder.name)
    if model is None:
        reasons = [fault.reason for fault in repository.faults if fault.model == folder.name]
        raise EvaluationError(f"{folder.name} is not a sound model: {'; '.join(reasons)}")
    card = model.card
    if card.resize is None:
        raise EvaluationError(f"{folder.name} labels no waste")
    inputs, outputs = ([spec.name for spec in specs] for specs in (card.inputs, card.outputs))
    return PhotoModel(
        run=open_file(model.versions[model.newest].read_bytes(), card.format, inputs, outputs),
        resize=card.resize,
        tile=card.tile,
        overlap=card.overlap,
        classes=tuple(spec.name for spec in card.classes),
        threshold=card.threshold,
        source_digest=card.source_digest,
    )
