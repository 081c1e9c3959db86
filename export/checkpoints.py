"""Checkpoint files: the one format that training writes and `build` reads, and the way in for foreign ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from export.architectures import build_network
from export.errors import CheckpointError
from export.framing import Framing, Tint

_CONTAINERS = ("state_dict", "model_state_dict")
_PREFIX = "module."


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and where they come from.

    `reduction`, `threshold` and `post_tint` belong to the served graph (see `framing`), the rest to the card. Without
    a `licence` the catalogue's holds.
    """

    state_dict: dict[str, Tensor]
    architecture: str
    width: float
    reduction: int
    threshold: float | None
    recipe: str
    steps: int
    seconds: float
    device: str
    seed: int
    data: str
    hyperparameters: dict[str, str | int | float | bool]
    licence: str = ""
    post_tint: Tint = (0.0, 0.0, 0.0)

    @property
    def framing(self) -> Framing:
        """What the served graph does around the network."""
        return Framing(self.reduction, self.threshold, self.post_tint)

    def network(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode.

        Raises:
            CheckpointError: the weights are not those of the architecture at this width.
        """
        try:
            network = build_network(self.architecture, self.width)
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        if faults := _mismatches(network.state_dict(), self.state_dict):
            raise CheckpointError(f"not a {self.architecture} of width {self.width:g}: " + "; ".join(faults))
        network.load_state_dict(self.state_dict, strict=True)
        return network.eval()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that training or `import_weights` wrote. No code in the file is run.

    Raises:
        CheckpointError: it cannot be read, or a key is missing or unknown.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} holds no checkpoint")
    required = {field.name for field in fields(Checkpoint) if field.default is MISSING}
    if missing := sorted(required - content.keys()):
        hint = "`python -m export import` takes checkpoints of other programs"
        raise CheckpointError(f"{path.name} lacks {', '.join(missing)}; {hint}")
    if unknown := sorted(map(str, content.keys() - {field.name for field in fields(Checkpoint)})):
        raise CheckpointError(f"{path.name} has unknown keys: {', '.join(unknown)}")
    return Checkpoint(**content)


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write `checkpoint` so that `read_checkpoint` takes it."""
    # `dataclasses.asdict` would copy every tensor.
    torch.save({field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}, path)


def import_weights(
    path: Path,
    architecture: str,
    *,
    width: float | None = None,
    reduction: int = 1,
    threshold: float | None = None,
    data: str = "unstated",
    licence: str = "unstated; ask whoever trained the weights",
) -> Checkpoint:
    """Return another program's checkpoint as one of ours.

    `path` is a torch file, whose weights lie bare or under ``state_dict`` or ``model_state_dict``, or a
    ``.safetensors`` file. A ``module.`` prefix (DataParallel's) is dropped. Without `width` it is taken from the
    first layer. No code in the file is run, and no key is skipped.

    Raises:
        CheckpointError: the file is unreadable or unsafe, or its keys or shapes are not the architecture's.
    """
    weights = _weights(_load(path), path)
    checkpoint = Checkpoint(
        state_dict=weights,
        architecture=architecture,
        width=_infer_width(weights, architecture) if width is None else width,
        reduction=reduction,
        threshold=threshold,
        recipe="imported",
        steps=0,
        seconds=0.0,
        device="unknown",
        seed=0,
        data=data,
        hyperparameters={},
        licence=licence,
    )
    checkpoint.network()
    return checkpoint


def _load(path: Path) -> Any:
    """Return the content of a file. `weights_only` refuses anything but tensors and plain containers."""
    if not path.is_file():
        raise CheckpointError(f"{path.name} does not exist")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    # On damaged bytes the readers raise whatever their parsers trip over: IndexError, struct.error, OSError, …
    except Exception as error:
        raise CheckpointError(f"{path.name} is damaged or holds more than weights; code in it is never run") from error


def _weights(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the weights of a loaded file, out of their container and without prefix."""
    if isinstance(content, dict):
        content = next((content[key] for key in _CONTAINERS if key in content), content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path.name} holds no weights")
    if strangers := sorted(str(key) for key, value in content.items() if not isinstance(value, Tensor)):
        raise CheckpointError(f"{path.name} holds entries that are not weights: {', '.join(strangers)}")
    return {key.removeprefix(_PREFIX): value.contiguous() for key, value in content.items()}


def _infer_width(weights: Mapping[str, Tensor], architecture: str) -> float:
    """Return the width at which the architecture's first layer has as many channels as the one in `weights`."""
    try:
        full = build_network(architecture).state_dict()
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    first = next(iter(full))
    if first not in weights or weights[first].ndim != full[first].ndim:
        raise CheckpointError(f"the width cannot be told: there is no {first} with {full[first].ndim} axes")
    return float(weights[first].shape[0] / full[first].shape[0])


def _mismatches(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Return one phrase for every kind of disagreement, with all keys in it."""
    shapes = [
        f"{key} is {list(given[key].shape)} instead of {list(expected[key].shape)}"
        for key in expected
        if key in given and given[key].shape != expected[key].shape
    ]
    kinds = {
        "missing": [key for key in expected if key not in given],
        "unexpected": [key for key in given if key not in expected],
        "of another shape": shapes,
    }
    return [f"{kind}: {', '.join(keys)}" for kind, keys in kinds.items() if keys]
