"""The way in for checkpoints of other programs, published ones among them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.checkpoints.files import Checkpoint, load
from export.checkpoints.keras_files import SUFFIXES
from export.checkpoints.keras_importing import PAPERS_SIDE, import_keras
from export.errors import CheckpointError
from export.networks import CROPS, CT, DEPTHS, FANET_DEPTHS, FILMS, RESIDUAL, WASTE, build_network
from export.networks.dahitra import PUBLISHED_THRESHOLD, undoubled
from export.tasks.waste.catalogue import LABEL_SETS
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
    classes: str | None = None,
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

    `reduction` is of damage networks. `size` is the side of what a network is given, unless stated the paper's; one of
    CT sees its slice through the `window`. `classes` names the label set of a network of waste in the catalogue; unless
    given it is the first that has as many values as the network's last layer: ZeroWaste's of those with five. Without a
    `threshold` DAHiTra has the published one.

    A network of radiographs may come from Keras: see `import_keras`.

    Raises:
        CheckpointError: the file is unreadable or unsafe, or its keys or shapes are not the architecture's.
    """
    if path.suffix in SUFFIXES:
        return import_keras(path, architecture, width=width or 1.0, threshold=threshold, data=data, licence=licence)
    weights = weights_in(load(path), path)
    if architecture == "fanet" and is_backbone_alone(weights):
        hint = "`train fanet --start` takes it; a model needs its heads too"
        raise CheckpointError(f"{path.name} is a backbone alone: {hint}")
    if architecture == "dahitra":
        weights, threshold = _named_once(weights), threshold or PUBLISHED_THRESHOLD
    depths = _told_depths(weights, architecture) if architecture in (*RESIDUAL, "fanet") else ""
    if architecture in WASTE:
        classes = classes or _told_label_set(weights, path)
    values = len(LABEL_SETS[classes or "bags"])
    if width is None:
        width = _told_width(weights, architecture)
    uncounted = not any(key.endswith(_COUNTER) for key in weights)
    counters = _counters(architecture, width, depths, values) if uncounted else {}
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
        size=size or _size(architecture),
        window=(window.low, window.high),
        classes=classes or "bags",
    )
    checkpoint.network()
    return checkpoint


def _size(architecture: str) -> int:
    """Return the side of what a network is given, unless told otherwise."""
    if architecture in (*FILMS, *CROPS):
        return PAPERS_SIDE
    return 256 if architecture in CT else 512


def weights_in(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the weights of a loaded file, out of their container and without prefix.

    Raises:
        CheckpointError: it holds none, or something else among them.
    """
    if isinstance(content, dict):
        content = next((content[key] for key in _CONTAINERS if key in content), content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path.name} holds no weights")
    if strangers := sorted(str(key) for key, value in content.items() if not isinstance(value, Tensor)):
        raise CheckpointError(f"{path.name} holds entries that are not weights: {', '.join(strangers)}")
    return {key.removeprefix(_PREFIX): value.contiguous() for key, value in content.items()}


def is_backbone_alone(weights: Mapping[str, Tensor]) -> bool:
    """Return whether weights are of FANet's backbone, with or without its classifier, and no whole model's."""
    return any(key.startswith("downsample_layers.") for key in weights)


def _named_once(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        return undoubled(weights)
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _shapes(architecture: str, width: float, depths: str | None = None, classes: int = 2) -> dict[str, Tensor]:
    """Return the state of a network without its values."""
    try:
        with torch.device("meta"):
            return build_network(architecture, width, depths, classes).state_dict()
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _told_width(weights: Mapping[str, Tensor], architecture: str) -> float:
    """Return the width at which the architecture's first layer has as many channels as the one in `weights`."""
    full = _shapes(architecture, 1.0)
    first = next(key for key in full if key.endswith(".weight"))
    if first not in weights or weights[first].ndim != full[first].ndim:
        raise CheckpointError(f"the width cannot be told: there is no {first} with {full[first].ndim} axes")
    return float(weights[first].shape[0] / full[first].shape[0])


def _told_depths(weights: Mapping[str, Tensor], architecture: str) -> str:
    """Return the name of the backbone that has as many blocks in each stage as the one in `weights`."""
    known, pattern, stages = (
        (FANET_DEPTHS, r"backbone\.stages\.([0-3])\.(\d+)\.", "0123")
        if architecture == "fanet"
        else (DEPTHS, r"(?:backbone\.)?layer([1-4])\.(\d+)\.", "1234")
    )
    blocks = {found.groups() for key in weights if (found := re.match(pattern, key))}
    count = Counter(stage for stage, _ in blocks)
    counted = tuple(count[stage] for stage in stages)
    for name, depths in known.items():
        if depths == counted:
            return name
    raise CheckpointError(f"no known backbone has {counted} blocks in its stages; known: {', '.join(known)}")


def _told_label_set(weights: Mapping[str, Tensor], path: Path) -> str:
    """Return the first label set that has as many values as the last layer of a network of waste."""
    last = next((weights[key] for key in ("decode_head.conv_seg.bias", "head.bias") if key in weights), None)
    if last is None:
        raise CheckpointError(f"{path.name} has no last layer to tell its classes by")
    for name, classes in LABEL_SETS.items():
        if len(classes) == len(last):
            return name
    raise CheckpointError(f"no label set has {len(last)} values; known: {', '.join(LABEL_SETS)}")


def _counters(architecture: str, width: float, depths: str, classes: int) -> dict[str, Tensor]:
    keys = (key for key in _shapes(architecture, width, depths, classes) if key.endswith(_COUNTER))
    return {key: torch.tensor(0) for key in keys}
