"""A built or trained model on images of any size, tiled and blended as the gateway does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.graphs.contract import to_onnx
from export.graphs.float16_weights import in_half_precision
from export.graphs.runners import Pixels, Runner, open_file
from export.graphs.wrap import graph_of
from export.repository.stored import sound_model
from export.tasks.catalogue import entry_of
from export.tasks.specs import OUTPUTS, DamageEntry
from gateway.repository.store import StoredModel, file_digest
from gateway.vision.labels import decide
from gateway.vision.tiling import Stitcher, gather, plan


@dataclass(frozen=True)
class TiledModel:
    """A graph and what tiling needs to know of it; `source_digest` is that of its checkpoint."""

    run: Runner
    roles: tuple[str, ...]
    tile: int
    overlap: int
    classes: tuple[str, ...]
    threshold: float | None
    source_digest: str

    def predict(self, pre: Pixels, post: Pixels) -> Pixels:
        """Return the label map (H, W) of a pair (H, W, 3) RGB; a model of one image looks at that one alone."""
        images = [{"pre": pre, "post": post}[role] for role in self.roles]
        height, width = pre.shape[:2]
        grid = plan(height, width, self.tile, self.overlap)
        stitcher = Stitcher(grid, len(self.classes))
        bands = []
        for row in range(len(grid.rows)):
            _, probabilities = self.run([gather(image, grid, row) for image in images])
            bands += [decide(band, self.threshold) for _, band in stitcher.add(probabilities)]
        return np.concatenate(bands)


def open_model(path: Path) -> TiledModel:
    """Return the model in a repository's folder, or the one that a checkpoint file would become.

    Raises:
        CheckpointError: the file is no checkpoint of a damage model.
        EvaluationError: the folder holds no sound damage model.
    """
    return open_stored(sound_model(path)) if path.is_dir() else _open_checkpoint(path)


def open_stored(model: StoredModel) -> TiledModel:
    """Return a model of a repository, in its newest version.

    Raises:
        EvaluationError: it is of another task.
    """
    card = model.card
    if card.task != "damage":
        raise EvaluationError(f"{model.name} grades no damage")
    roles = tuple(tensor.name for tensor in card.inputs)
    return TiledModel(
        run=open_file(model.versions[model.newest].read_bytes(), card.format, roles, OUTPUTS),
        roles=roles,
        tile=card.tile,
        overlap=card.overlap,
        classes=tuple(spec.name for spec in card.classes),
        threshold=card.threshold,
        source_digest=card.source_digest,
    )


def _open_checkpoint(file: Path) -> TiledModel:
    checkpoint = read_checkpoint(file)
    entry = entry_of(checkpoint.architecture, DamageEntry)
    graph = graph_of(checkpoint.network(), checkpoint, entry)
    return TiledModel(
        run=open_file(in_half_precision(to_onnx(graph)), "onnx", entry.inputs, OUTPUTS),
        roles=entry.inputs,
        tile=entry.tile,
        overlap=entry.overlap,
        classes=tuple(spec.name for spec in entry.classes),
        threshold=checkpoint.threshold,
        source_digest=file_digest(file),
    )
