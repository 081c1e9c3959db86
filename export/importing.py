"""The way in for checkpoints of other programs, published ones among them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.architectures import CROPS, CT, DEPTHS, WITH_BACKBONE, build_network
from export.architectures.dahitra import PUBLISHED_THRESHOLD, undoubled
from export.checkpoints import Checkpoint, load
from export.errors import CheckpointError
from gateway.vision.windowing import LUNG, Window

_CONTAINERS = ("state_dict", "model_state_dict", "model_G_state_dict")
_PREFIX = "module."
_COUNTER = ".num_batches_tracked"


def import_weights(
    path: Path,
    architecture: str,
    *,
    width: float | None = None,
    reduction: int = 1,
    size: int | None = None,
    window: Window = LUNG,
    threshold: float | None = None,
    data: str = "unstated",
    licence: str = "unstated; ask whoever trained the weights",
) -> Checkpoint:
    """Return another program's checkpoint as one of ours.

    `path` is a torch file, whose weights lie bare or in one of the `_CONTAINERS`, or a ``.safetensors`` file. A
    ``module.`` prefix (DataParallel's) is dropped, and so are second names of DAHiTra's modules. Without `width` it is
    taken from the first layer; where a backbone's depths can be chosen they are told by its number of blocks. No code
    in the file is run, and no key is skipped or made up, with one exception: torch before 0.4.1 wrote no
    ``num_batches_tracked``, a counter that only further training reads. Where a file has none of them they begin at 0,
    and the recipe says so.

    `reduction` is of damage networks. `size` is the side of an interactive network's crop, 512 unless given, of one
    building's, 224 unless given, or of a CT network's slice, 256 unless given, which it sees through the `window`.
    Without a `threshold` DAHiTra has the published one.

    Raises:
        CheckpointError: the file is unreadable or unsafe, or its keys or shapes are not the architecture's.
    """
    weights = _weights(load(path), path)
    if architecture == "dahitra":
        weights, threshold = _named_once(weights), threshold or PUBLISHED_THRESHOLD
    depths = _told_depths(weights) if architecture in WITH_BACKBONE else "resnet101"
    if width is None:
        width = _told_width(weights, architecture)
    uncounted = not any(key.endswith(_COUNTER) for key in weights)
    counters = _counters(architecture, width, depths) if uncounted else {}
    checkpoint = Checkpoint(
        state_dict={**weights, **counters},
        architecture=architecture,
        width=width,
        reduction=reduction,
        threshold=threshold,
        recipe="imported, without batch counters" if counters else "imported",
        steps=0,
        seconds=0.0,
        device="unknown",
        seed=0,
        data=data,
        hyperparameters={},
        licence=licence,
        depths=depths,
        size=size or (256 if architecture in CT else 224 if architecture in CROPS else 512),
        window=(window.low, window.high),
    )
    checkpoint.network()
    return checkpoint


def _weights(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the weights of a loaded file, out of their container and without prefix."""
    if isinstance(content, dict):
        content = next((content[key] for key in _CONTAINERS if key in content), content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path.name} holds no weights")
    if strangers := sorted(str(key) for key, value in content.items() if not isinstance(value, Tensor)):
        raise CheckpointError(f"{path.name} holds entries that are not weights: {', '.join(strangers)}")
    return {key.removeprefix(_PREFIX): value.contiguous() for key, value in content.items()}


def _named_once(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        return undoubled(weights)
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _shapes(architecture: str, width: float, depths: str) -> dict[str, Tensor]:
    """Return the state of a network without its values."""
    try:
        with torch.device("meta"):
            return build_network(architecture, width, depths).state_dict()
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _told_width(weights: Mapping[str, Tensor], architecture: str) -> float:
    """Return the width at which the architecture's first layer has as many channels as the one in `weights`."""
    full = _shapes(architecture, 1.0, "resnet101")
    first = next(key for key in full if key.endswith(".weight"))
    if first not in weights or weights[first].ndim != full[first].ndim:
        raise CheckpointError(f"the width cannot be told: there is no {first} with {full[first].ndim} axes")
    return float(weights[first].shape[0] / full[first].shape[0])


def _told_depths(weights: Mapping[str, Tensor]) -> str:
    """Return the name of the backbone that has as many blocks in each stage as the one in `weights`."""
    blocks = {found.groups() for key in weights if (found := re.match(r"(?:backbone\.)?layer([1-4])\.(\d+)\.", key))}
    count = Counter(stage for stage, _ in blocks)
    counted = tuple(count[stage] for stage in "1234")
    for name, depths in DEPTHS.items():
        if depths == counted:
            return name
    raise CheckpointError(f"no known backbone has {counted} blocks in its stages; known: {', '.join(DEPTHS)}")


def _counters(architecture: str, width: float, depths: str) -> dict[str, Tensor]:
    keys = (key for key in _shapes(architecture, width, depths) if key.endswith(_COUNTER))
    return {key: torch.tensor(0) for key in keys}
