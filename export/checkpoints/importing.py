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
from export.checkpoints.keras_files import SUFFIXES, read_keras
from export.errors import CheckpointError
from export.networks import ARCHITECTURES, architecture_of, build_network
from export.networks.architecture import Architecture
from export.registry import task_of
from export.task import Classes
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
    try:
        known = architecture_of(architecture)
        weights = known.adopted(weights)
    except ValueError as error:
        raise CheckpointError(f"{path.name}: {error}") from error
    task = task_of(architecture)
    depths = _told_depths(weights, known) if known.depths else ""
    if task.label_sets:
        classes = classes or _told_label_set(weights, known, task.label_sets, path)
    values = len(task.label_sets.get(classes or "", ()))
    if width is None:
        width = _told_width(weights, architecture)
    uncounted = not any(key.endswith(_COUNTER) for key in weights)
    counters = _counters(architecture, width, depths, values) if uncounted else {}
    checkpoint = Checkpoint(
        state_dict={**weights, **counters},
        architecture=architecture,
        width=width,
        reduction=reduction,
        threshold=threshold or known.threshold,
        recipe="imported, without batch counters" if counters else "imported",
        steps=0,
        seconds=0.0,
        device="unknown",
        seed=0,
        data=data,
        hyperparameters={},
        licence=licence,
        depths=depths,
        size=size or task.size,
        window=(window.low, window.high),
        classes=classes or "bags",
    )
    checkpoint.network()
    return checkpoint


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
    task = task_of(architecture)
    if not architecture_of(architecture).keras:
        known = ", ".join(name for name, each in ARCHITECTURES.items() if each.keras)
        raise CheckpointError(f"Keras files are read for {known}; {architecture} is none of them")
    weights = read_keras(path, architecture, width)
    whole = any(key.startswith("head.") for key in weights)
    return Checkpoint(
        state_dict=weights,
        architecture=architecture,
        width=width,
        reduction=1,
        threshold=task.threshold if threshold is None else threshold,
        recipe="imported from Keras" if whole else "imported from Keras, backbone alone",
        steps=0,
        seconds=0.0,
        device="unknown",
        seed=0,
        data=data,
        hyperparameters={},
        licence=licence,
        depths=next(iter(architecture_of(architecture).depths)),
        size=task.size,
    )


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


def _told_depths(weights: Mapping[str, Tensor], architecture: Architecture) -> str:
    """Return the name of the backbone that has as many blocks in each stage as the one in `weights`."""
    pattern, stages = architecture.stages
    blocks = {found.groups() for key in weights if (found := re.match(pattern, key))}
    count = Counter(stage for stage, _ in blocks)
    counted = tuple(count[stage] for stage in stages)
    for name, depths in architecture.depths.items():
        if depths == counted:
            return name
    known = ", ".join(architecture.depths)
    raise CheckpointError(f"no known backbone has {counted} blocks in its stages; known: {known}")


def _told_label_set(
    weights: Mapping[str, Tensor], architecture: Architecture, label_sets: Mapping[str, Classes], path: Path
) -> str:
    """Return the first label set that has as many values as the last layer of a network."""
    last = weights.get(architecture.label_bias)
    if last is None:
        raise CheckpointError(f"{path.name} has no last layer to tell its classes by")
    for name, classes in label_sets.items():
        if len(classes) == len(last):
            return name
    raise CheckpointError(f"no label set has {len(last)} values; known: {', '.join(label_sets)}")


def _counters(architecture: str, width: float, depths: str, classes: int) -> dict[str, Tensor]:
    keys = (key for key in _shapes(architecture, width, depths, classes) if key.endswith(_COUNTER))
    return {key: torch.tensor(0) for key in keys}
