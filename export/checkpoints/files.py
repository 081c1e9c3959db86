"""Checkpoint files: the one format that training and `import` write and `build` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from export.errors import CheckpointError
from export.graphs.framing import Framing, Tint
from export.networks import build_network
from export.registry import task_of
from gateway.vision.windowing import LUNG


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and where they come from.

    `reduction`, `threshold`, `post_tint`, `offsets` and `smoothing` belong to the served graph (see `framing`), `size`
    too: it is the side, in pixels, of the crops of interactive networks, whose backbone `depths` names, of the slices
    of networks of CT, whose Hounsfield units `window` shows, and of the tiles of networks of waste, whose label set
    `classes` names in the catalogue. The rest belongs to the card; `untrained` names the classes that the data showed
    none of. Without a `licence` or, for an interactive network, a `threshold` the catalogue's holds.
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
    depths: str = "resnet101"
    size: int = 512
    window: tuple[float, float] = (LUNG.low, LUNG.high)
    untrained: tuple[str, ...] = ()
    classes: str = "bags"
    offsets: tuple[float, ...] = ()
    smoothing: int = 0

    @property
    def framing(self) -> Framing:
        """What the served graph does around the network."""
        return Framing(self.reduction, self.threshold, self.post_tint, self.offsets, self.smoothing)

    def network(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode.

        Raises:
            CheckpointError: the weights are not those of the architecture at this width.
        """
        try:
            network = build_network(self.architecture, self.width, self.depths, self._label_values())
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        if faults := _mismatches(network.state_dict(), self.state_dict):
            raise CheckpointError(f"not a {self.architecture} of width {self.width:g}: " + "; ".join(faults))
        network.load_state_dict(self.state_dict, strict=True)
        return network.eval()

    def _label_values(self) -> int:
        label_sets = task_of(self.architecture).label_sets
        if label_sets and self.classes not in label_sets:
            raise ValueError(f"unknown label set {self.classes!r}; known: {', '.join(label_sets)}")
        return len(label_sets.get(self.classes, ()))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that training or `import` wrote. No code in the file is run.

    Raises:
        CheckpointError: it cannot be read, or a key is missing or unknown.
    """
    content = load(path)
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


def load(path: Path) -> Any:
    """Return the content of a torch or ``.safetensors`` file; anything but tensors and plain containers is refused.

    Raises:
        CheckpointError: the file is not there, unreadable or unsafe.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.name} does not exist")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    # On damaged bytes the readers raise whatever their parsers trip over: IndexError, struct.error, OSError, …
    except Exception as error:
        raise CheckpointError(f"{path.name} is damaged or holds more than weights; code in it is never run") from error


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
