"""What a card takes over from the catalogue and from the checkpoint."""

from __future__ import annotations

from typing import Any

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.networks import architecture_of
from export.task import ModelSpec, as_named_in
from gateway.repository.card import Network, Weights
from gateway.repository.record import Training


def stated(
    spec: ModelSpec, checkpoint: Checkpoint, graph: Graph, file_format: str, weights: Weights = "float32"
) -> dict[str, Any]:
    """Return, by the card's keys, everything that is known before the graph is measured."""
    architecture = architecture_of(checkpoint.architecture)
    return {
        "name": spec.name,
        "title": spec.title,
        "task": spec.task,
        "summary": spec.summary,
        "format": file_format,
        "inputs": graph.inputs,
        "outputs": as_named_in(file_format, graph.outputs),
        "max_batch_size": spec.max_batch_size,
        "classes": spec.classes,
        "threshold": spec.threshold_of(checkpoint.threshold),
        "network": Network(
            architecture=checkpoint.architecture,
            width=checkpoint.width,
            depths=checkpoint.depths if architecture.depths else None,
            members=architecture.members.get(checkpoint.depths, 1),
            encoder=architecture.encoder or None,
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
            untrained=checkpoint.untrained if spec.classes else (),
        ),
        "licence": checkpoint.licence or spec.licence,
        "intended_use": spec.intended_use,
        "limitations": spec.limitations,
        **spec.stated(checkpoint),
    }
