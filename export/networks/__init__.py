"""The networks of the papers, a file each: whatever file has `ARCHITECTURES` adds its own."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from torch import nn

from export.networks.architecture import Architecture

ZEROWASTE_CLASSES = 5
"""Label values of ZeroWaste, the data set of FANet's paper."""

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for module in iter_modules(__path__)
    for architecture in getattr(import_module(f"{__name__}.{module.name}"), "ARCHITECTURES", ())
}
"""All of them, by name."""


def architecture_of(name: str) -> Architecture:
    """Return what a network's file says of it.

    Raises:
        ValueError: no architecture has that name.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build_network(
    architecture: str, width: float = 1.0, depths: str | None = None, classes: int = ZEROWASTE_CLASSES
) -> nn.Module:
    """Return an untrained network.

    Args:
        architecture: its name.
        width: scales every hidden layer; 1.0 is the paper's size.
        depths: name of the backbone, or of the share of its repeated blocks, where there are several; without it the
            paper's.
        classes: label values, for networks of waste alone; ZeroWaste's unless given.

    Raises:
        ValueError: no architecture, or no backbone, has that name.
    """
    return architecture_of(architecture).network(width, depths, classes)
