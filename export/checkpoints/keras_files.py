"""Weights that Keras kept: ``.h5`` of any age, with or without the head, and ``.keras``.

Nothing of a file is run: of a ``.keras`` file, which also describes layers, the weights alone are read.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import h5py
import torch
from torch import Tensor, nn

from export.errors import CheckpointError
from export.networks import build_network
from export.networks.keras_layers import FilmNetwork, keras_names

SUFFIXES = (".h5", ".hdf5", ".keras")

Layers = dict[str, list[h5py.Dataset]]
"""Name of a layer → its variables, in Keras' order."""

_VARIABLES = ("kernel", "gamma", "bias", "beta", "moving_mean", "moving_variance")
"""Keras' names; those of one layer are in this order."""

_OURS = ("weight", "bias", "running_mean", "running_var")
_COUNTER = "num_batches_tracked"
_NUMBERED = re.compile(r"(conv2d|batch_normalization|dense)(?:_(\d+))?")


def read_keras(path: Path, architecture: str, width: float) -> dict[str, Tensor]:
    """Return the weights of a Keras file by our keys; of one without a head, those of the backbone alone.

    Layers that Keras numbers are told by their order, since it counts on within a session. Counters of batches, which
    Keras has not, begin at 0.

    Raises:
        CheckpointError: the file is damaged, or a layer, variable or shape is not the architecture's; every one that
            is missing or unexpected is named.
    """
    with torch.device("meta"):
        network = cast(FilmNetwork, build_network(architecture, width, "full"))
    with _opened(path) as file:
        layers = _ranked(_layers(file))
        own = dict(keras_names(network))
        if not any(name.startswith("dense") for name in layers):
            own = {name: module for name, module in own.items() if module not in set(network.head.modules())}
        if faults := list(_faults(own, layers)):
            raise CheckpointError(f"{path.name} is not a Keras {architecture}: " + "; ".join(faults))
        paths = {module: name for name, module in network.named_modules()}
        return {
            f"{paths[module]}.{key}": weight
            for name, module in own.items()
            for key, weight in _converted(module, layers[name]).items()
        }


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise CheckpointError(f"{path.name} does not exist")
    try:
        source = io.BytesIO(_weights_of_archive(path)) if path.suffix == ".keras" else path
        with h5py.File(source, "r") as file:
            yield file
    # What h5py and zipfile make of damaged bytes.
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path.name} is damaged or holds no Keras weights") from error


def _weights_of_archive(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("model.weights.h5")


def _layers(file: h5py.File) -> Layers:
    """Return every layer that has variables, out of models within models too; an optimiser's are left out."""
    found: dict[str, dict[str, h5py.Dataset]] = {}

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(item, h5py.Dataset) or path.startswith("optimizer"):
            return
        holder, _, variable = path.rpartition("/")
        if holder.rpartition("/")[2] == "vars":
            layer = str(item.parent.attrs.get("name", holder.split("/")[-2]))
        else:
            layer = _legacy_name(item)
        found.setdefault(layer.replace("/", "_"), {})[variable.removesuffix(":0")] = item

    # Neither links to other files nor loops are followed so.
    file.visititems(visit)
    return {layer: [variables[key] for key in sorted(variables, key=_place)] for layer, variables in found.items()}


def _legacy_name(item: h5py.Dataset) -> str:
    """Return the layer of a variable in a file from before Keras 3: what its own name says before the last slash.

    The groups that list `weight_names` are one layer each, or a model within the model.
    """
    holder = item.parent
    while holder.name != "/" and "weight_names" not in holder.attrs:
        holder = holder.parent
    return str(item.name).removeprefix(str(holder.name)).lstrip("/").rpartition("/")[0]


def _place(variable: str) -> tuple[int, str]:
    if variable.isdigit():
        return int(variable), variable
    return _VARIABLES.index(variable) if variable in _VARIABLES else len(_VARIABLES), variable


def _ranked(layers: Layers) -> Layers:
    """Return the layers, those numbered by Keras renamed as if nothing had been made before the model."""
    numbers: dict[str, list[tuple[int, str]]] = {}
    for name in layers:
        if match := _NUMBERED.fullmatch(name):
            numbers.setdefault(match[1], []).append((int(match[2] or 0), name))
    names = {
        name: kind if rank == 0 else f"{kind}_{rank}"
        for kind, numbered in numbers.items()
        for rank, (_, name) in enumerate(sorted(numbered))
    }
    return {names.get(name, name): variables for name, variables in layers.items()}


def _faults(own: Mapping[str, nn.Module], layers: Layers) -> Iterator[str]:
    if missing := [name for name in own if name not in layers]:
        yield f"missing layers {', '.join(missing)}"
    if unexpected := sorted(layers.keys() - own.keys()):
        yield f"unexpected layers {', '.join(unexpected)}"
    for name in own.keys() & layers.keys():
        wanted, given = _shapes(own[name]), [variable.shape for variable in layers[name]]
        if wanted != given:
            yield f"{name} has variables of {given}, not {wanted}"
        if any(variable.external for variable in layers[name]):
            yield f"{name} lies in another file"


def _shapes(module: nn.Module) -> list[tuple[int, ...]]:
    """Return the shapes of a layer's variables as Keras has them."""
    return [_keras_axes(state) for key, state in module.state_dict().items() if key != _COUNTER]


def _keras_axes(state: Tensor) -> tuple[int, ...]:
    if state.ndim == 4:
        after, before, height, width = state.shape
        return height, width, before, after
    return tuple(reversed(state.shape))


def _converted(module: nn.Module, variables: list[h5py.Dataset]) -> dict[str, Tensor]:
    """Return a layer's state by our keys: HWIO kernels as OIHW, and (in, out) as (out, in)."""
    keys = [key for key in _OURS if key in module.state_dict()]
    arrays = [torch.from_numpy(variable[()]).float() for variable in variables]
    state = {key: _our_axes(array).contiguous() for key, array in zip(keys, arrays, strict=True)}
    return {**state, _COUNTER: torch.tensor(0)} if _COUNTER in module.state_dict() else state


def _our_axes(array: Tensor) -> Tensor:
    return array.permute(3, 2, 0, 1) if array.ndim == 4 else array.T if array.ndim == 2 else array
