"""The networks of the papers, and the constants that training and serving must share."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from export.architectures.fcn import FCN
from export.architectures.siamunet import SiameseUNet

MEAN = (0.485, 0.456, 0.406)
"""ImageNet mean of RGB in [0, 1]; the networks take (rgb / 255 - MEAN) / STD."""

STD = (0.229, 0.224, 0.225)
"""ImageNet standard deviation of RGB in [0, 1]."""

_BUILDERS: dict[str, Callable[[float], nn.Module]] = {"fcn": FCN, "siamunet": SiameseUNet}

INPUTS: dict[str, tuple[str, ...]] = {"fcn": ("pre",), "siamunet": ("pre", "post")}
"""Per architecture the roles of its inputs, in order."""


def build_network(architecture: str, width: float = 1.0) -> nn.Module:
    """Return an untrained network: ``fcn`` takes (pre), ``siamunet`` takes (pre, post), both give logits.

    ``width`` scales every hidden layer; 1.0 is the paper's size.

    Raises:
        ValueError: no architecture has that name.
    """
    if architecture not in _BUILDERS:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(_BUILDERS)}")
    return _BUILDERS[architecture](width)
