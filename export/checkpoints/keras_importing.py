"""The way in for Keras' files."""

from __future__ import annotations

from pathlib import Path

from export.checkpoints.files import Checkpoint
from export.checkpoints.keras_files import read_keras
from export.errors import CheckpointError
from export.networks import FILMS
from export.networks.keras_layers import FILM_DEPTHS

PAPERS_SIDE = 224
"""Side of a radiograph, in pixels, as the paper's networks take it."""


def import_keras(
    path: Path,
    architecture: str,
    *,
    width: float = 1.0,
    threshold: float | None = None,
    data: str = "unstated",
    licence: str = "unstated; ask whoever trained the weights",
) -> Checkpoint:
    """Return the weights of a Keras file, ``.h5`` or ``.keras``, as a checkpoint of a network of radiographs.

    A file without a head becomes a checkpoint of the backbone alone, which training can start from and nothing can be
    built of. See `read_keras`.

    Raises:
        CheckpointError: the architecture is no network of radiographs, or what `read_keras` refuses.
    """
    if architecture not in FILMS:
        raise CheckpointError(f"Keras files are read for {', '.join(FILMS)}; {architecture} is none of them")
    weights = read_keras(path, architecture, width)
    whole = any(key.startswith("head.") for key in weights)
    return Checkpoint(
        state_dict=weights,
        architecture=architecture,
        width=width,
        reduction=1,
        threshold=0.5 if threshold is None else threshold,
        recipe="imported from Keras" if whole else "imported from Keras, backbone alone",
        steps=0,
        seconds=0.0,
        device="unknown",
        seed=0,
        data=data,
        hyperparameters={},
        licence=licence,
        depths=next(iter(FILM_DEPTHS)),
        size=PAPERS_SIDE,
    )
