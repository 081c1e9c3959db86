"""The networks of the papers, and the constants that training and serving must share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from export.architectures.cnn import CNN
from export.architectures.cogseg import CogSeg
from export.architectures.colours import DAHITRA, DAHITRA_LEVIR, IMAGENET, Colours
from export.architectures.dahitra import DAHiTra, DAHiTraLEVIR
from export.architectures.dextr import DEXTR
from export.architectures.fcn import FCN
from export.architectures.iog import IOG, IOGRefine
from export.architectures.resnet import RESNET26, RESNET50, RESNET101
from export.architectures.siamunet import SiameseUNet
from export.architectures.unet import UNet

_COLOURS = {"dahitra": DAHITRA, "dahitra_levir": DAHITRA_LEVIR}

DEPTHS: dict[str, tuple[int, ...]] = {"resnet101": RESNET101, "resnet50": RESNET50, "resnet26": RESNET26}
"""Name of a backbone → its bottlenecks per stage."""

_PAIR = ("pre", "post")
INPUTS: dict[str, tuple[str, ...]] = {"fcn": ("pre",), "siamunet": _PAIR, "dahitra": _PAIR, "dahitra_levir": _PAIR}
"""Per architecture of damage the roles of its images, in order."""

_DAMAGE: dict[str, Callable[[float], nn.Module]] = {
    "fcn": FCN,
    "siamunet": SiameseUNet,
    "dahitra": DAHiTra,
    "dahitra_levir": DAHiTraLEVIR,
}
_CROPS: dict[str, Callable[[float, Sequence[int]], nn.Module]] = {"cnn": CNN}
_CT: dict[str, Callable[[float], nn.Module]] = {"cogseg": CogSeg, "ct_unet": UNet}
_CLICKS: dict[str, Callable[[float, Sequence[int]], nn.Module]] = {
    "iog": IOG,
    "iog_refine": IOGRefine,
    "dextr": DEXTR,
}

INTERACTIVE = tuple(_CLICKS)
"""The architectures that take clicks."""

CROPS = tuple(_CROPS)
"""The architectures that take a crop of one building."""

CT = tuple(_CT)
"""The architectures that take CT slices."""

ARCHITECTURES = (*_DAMAGE, *_CROPS, *_CT, *_CLICKS)
"""All of them."""


WITH_BACKBONE = (*INTERACTIVE, *CROPS)
"""The architectures whose backbone's depths can be chosen."""


def build_network(architecture: str, width: float = 1.0, depths: str | None = None) -> nn.Module:
    """Return an untrained network.

    Args:
        architecture: ``fcn`` takes (pre), ``siamunet`` and DAHiTra's (pre, post), ``cnn`` a crop of post;
            ``iog`` and ``dextr`` a crop with its click maps, ``iog_refine`` that and the maps of all clicks so far;
            ``cogseg`` and ``ct_unet`` CT slices.
        width: scales every hidden layer; 1.0 is the paper's size.
        depths: name of the backbone, for those `WITH_BACKBONE` alone; None is the paper's.

    Raises:
        ValueError: no architecture, or no backbone, has that name.
    """
    if plain := (_DAMAGE | _CT).get(architecture):
        return plain(width)
    deep = (_CLICKS | _CROPS).get(architecture)
    if deep is None:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    depths = depths or ("resnet50" if architecture in CROPS else "resnet101")
    if depths not in DEPTHS:
        raise ValueError(f"unknown backbone {depths!r}; known: {', '.join(DEPTHS)}")
    return deep(width, DEPTHS[depths])


def colours_of(architecture: str) -> Colours:
    """Return what becomes of the pixels that a network of damage takes."""
    return _COLOURS.get(architecture, IMAGENET)
