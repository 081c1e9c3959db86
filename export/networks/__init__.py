"""The networks of the papers, and the constants that training and serving must share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from torch import nn

from export.networks.cnn import CNN
from export.networks.cogseg import CogSeg
from export.networks.colours import DAHITRA, DAHITRA_LEVIR, IMAGENET, Colours
from export.networks.dahitra import DAHiTra, DAHiTraLEVIR
from export.networks.densenet201 import DenseNet201
from export.networks.dextr import DEXTR
from export.networks.fanet import FANET_B, FANET_S, FANetUPer
from export.networks.fcn import FCN
from export.networks.inception_resnetv2 import InceptionResNetV2
from export.networks.inceptionv3 import InceptionV3
from export.networks.iog import IOG, IOGRefine
from export.networks.keras_layers import FILM_DEPTHS
from export.networks.resnet import RESNET26, RESNET50, RESNET101
from export.networks.resnet101v2 import ResNet101V2
from export.networks.siamunet import SiameseUNet
from export.networks.unet import UNet

Depths = TypeVar("Depths")

_COLOURS = {"dahitra": DAHITRA, "dahitra_levir": DAHITRA_LEVIR}

DEPTHS: dict[str, tuple[int, ...]] = {"resnet101": RESNET101, "resnet50": RESNET50, "resnet26": RESNET26}
"""Name of a residual backbone → its bottlenecks per stage."""

FANET_DEPTHS: dict[str, tuple[int, ...]] = {"fanet_b": FANET_B, "fanet_s": FANET_S}
"""The same of FANet, and its blocks; the paper's is first."""

_PAIR = ("pre", "post")
INPUTS: dict[str, tuple[str, ...]] = {"fcn": ("pre",), "siamunet": _PAIR, "dahitra": _PAIR, "dahitra_levir": _PAIR}
"""Per architecture of damage the roles of its images, in order."""

ZEROWASTE_CLASSES = 5
"""Label values of ZeroWaste, the data set of FANet's paper."""

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
_FILMS: dict[str, Callable[[float, float], nn.Module]] = {
    "inceptionv3": InceptionV3,
    "inception_resnetv2": InceptionResNetV2,
    "resnet101v2": ResNet101V2,
    "densenet201": DenseNet201,
}

INTERACTIVE = tuple(_CLICKS)
"""The architectures that take clicks."""

CROPS = tuple(_CROPS)
"""The architectures that take a crop of one building."""

CT = tuple(_CT)
"""The architectures that take CT slices."""

WASTE = ("fanet", "waste_fcn")
"""The architectures that take photographs of waste; they have as many classes as their label set."""

FILMS = tuple(_FILMS)
"""The architectures that take chest radiographs."""

RESIDUAL = (*INTERACTIVE, *CROPS)
"""The architectures whose residual backbone's depths can be chosen."""

BACKBONED = (*RESIDUAL, "fanet", *FILMS)
"""The architectures whose backbone has depths to choose from."""

ARCHITECTURES = (*_DAMAGE, *_CROPS, *_CT, *_CLICKS, *WASTE, *_FILMS)
"""All of them."""


def build_network(
    architecture: str, width: float = 1.0, depths: str | None = None, classes: int = ZEROWASTE_CLASSES
) -> nn.Module:
    """Return an untrained network.

    Args:
        architecture: ``fcn`` takes (pre), ``siamunet`` and DAHiTra's (pre, post), ``cnn`` a crop of post;
            ``iog`` and ``dextr`` a crop with its click maps, ``iog_refine`` that and the maps of all clicks so far;
            ``cogseg`` and ``ct_unet`` take CT slices; ``fanet`` and ``waste_fcn`` photographs, the others radiographs.
        width: scales every hidden layer; 1.0 is the paper's size.
        depths: name of the backbone, for interactive networks, the CNN and FANet, or of the share of the repeated
            blocks, for radiographs; without it the paper's.
        classes: label values, for networks of waste alone; ZeroWaste's unless given.

    Raises:
        ValueError: no architecture, or no backbone, has that name.
    """
    if plain := (_DAMAGE | _CT).get(architecture):
        return plain(width)
    if film := _FILMS.get(architecture):
        return film(width, _named(FILM_DEPTHS, depths))
    if architecture == "waste_fcn":
        return FCN(width, classes=classes)
    if architecture == "fanet":
        return FANetUPer(width, _named(FANET_DEPTHS, depths), classes)
    residual = (_CLICKS | _CROPS).get(architecture)
    if residual is None:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    return residual(width, _named(DEPTHS, depths or ("resnet50" if architecture in CROPS else "resnet101")))


def colours_of(architecture: str) -> Colours:
    """Return what becomes of the pixels that a network of damage takes."""
    return _COLOURS.get(architecture, IMAGENET)


def _named(known: Mapping[str, Depths], name: str | None) -> Depths:
    """Return the depths of that name, or of the first without one."""
    name = name or next(iter(known))
    if name not in known:
        raise ValueError(f"unknown backbone {name!r}; known: {', '.join(known)}")
    return known[name]
