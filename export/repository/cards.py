"""What a card takes over from the catalogue and from the checkpoint."""

from __future__ import annotations

from typing import Any

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.networks import BACKBONED
from export.tasks.specs import ClickEntry, CropEntry, Entry, FilmEntry, SliceEntry, WasteEntry, as_named_in
from export.tasks.waste.catalogue import LABEL_SETS
from gateway.repository.card import Network, Training, Weights, WindowSpec


def stated(
    entry: Entry, checkpoint: Checkpoint, graph: Graph, file_format: str, weights: Weights = "float32"
) -> dict[str, Any]:
    """Return, by the card's keys, everything that is known before the graph is measured."""
    return {
        "name": entry.name,
        "title": entry.title,
        "task": entry.task,
        "summary": entry.summary,
        "format": file_format,
        "inputs": graph.inputs,
        "outputs": as_named_in(file_format, graph.outputs),
        "max_batch_size": entry.max_batch_size,
        "classes": entry.classes,
        "threshold": threshold_of(checkpoint, entry),
        "network": Network(
            architecture=checkpoint.architecture,
            width=checkpoint.width,
            depths=checkpoint.depths if checkpoint.architecture in BACKBONED else None,
            parameters=sum(parameter.numel() for parameter in graph.module.parameters()),
            reduction=checkpoint.reduction,
            post_tint=checkpoint.post_tint,
            weights=weights if file_format == "onnx" else "float32",
        ),
        "training": Training(
            data=checkpoint.data,
            recipe=checkpoint.recipe,
            steps=checkpoint.steps,
            seconds=checkpoint.seconds,
            device=checkpoint.device,
            hyperparameters={**checkpoint.hyperparameters, "seed": checkpoint.seed},
            untrained=checkpoint.untrained if entry.classes else (),
        ),
        "licence": checkpoint.licence or entry.licence,
        "intended_use": entry.intended_use,
        "limitations": entry.limitations,
        **_of_task(entry, checkpoint),
    }


def threshold_of(checkpoint: Checkpoint, entry: Entry) -> float | None:
    """Return the threshold: the checkpoint's, or for interactive models the catalogue's where it has none."""
    if checkpoint.threshold is None and isinstance(entry, ClickEntry):
        return entry.threshold
    return checkpoint.threshold


def _of_task(entry: Entry, checkpoint: Checkpoint) -> dict[str, Any]:
    if isinstance(entry, ClickEntry):
        return {"clicks": entry.clicks(checkpoint.size)}
    if isinstance(entry, SliceEntry):
        low, high = checkpoint.window
        return {"window": WindowSpec(low=low, high=high)}
    if isinstance(entry, WasteEntry):
        size = checkpoint.size
        classes = LABEL_SETS[checkpoint.classes]
        return {"classes": classes, "overlap": entry.overlap(size), "resize": entry.resize(size)}
    if isinstance(entry, FilmEntry):
        return {}
    if isinstance(entry, CropEntry):
        return {"crop": entry.crop}
    return {"overlap": entry.overlap}
