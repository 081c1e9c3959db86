"""Weights for a network of waste to begin with: of a run of ours, or of a published backbone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from export.checkpoints.files import load, read_checkpoint
from export.checkpoints.importing import is_backbone_alone, weights_in

_BACKBONE = "backbone."


def starting_weights(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """Return weights by the names that `FANetUPer` has for them, and in words whose they are.

    A checkpoint of ours is taken as it is, and so are mmsegmentation's model files; a file of FANet's backbone alone,
    such as one pretrained on ImageNet, becomes the backbone.

    Raises:
        CheckpointError: the file cannot be read, or holds more than weights.
    """
    content = load(path)
    if isinstance(content, dict) and "architecture" in content and "state_dict" in content:
        checkpoint = read_checkpoint(path)
        origin = f"{checkpoint.architecture}, {checkpoint.recipe}, after {checkpoint.steps} steps"
        return checkpoint.state_dict, origin
    weights = weights_in(content, path)
    if is_backbone_alone(weights):
        return {_BACKBONE + key: weight for key, weight in weights.items()}, "a backbone's file"
    return weights, "another program's model"
