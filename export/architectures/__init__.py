"""The networks of the papers, and the constants that training and serving must share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from torch import nn

from export.architectures.cogseg import CogSeg
from export.architectures.densenet201 import DenseNet201
from export.architectures.dextr import DEXTR
from export.architectures.fanet import FANET_B, FANET_S, FANetUPer
from export.architectures.fcn import FCN
from export.architectures.inception_resnetv2 import InceptionResNetV2
from export.architectures.inceptionv3 import InceptionV3
from export.architectures.iog import IOG, IOGRefine
from export.architectures.keras_layers import FILM_DEPTHS
from export.architectures.resnet import RESNET26, RESNET101
from export.architectures.resnet101v2 import ResNet101V2
from export.architectures.siamunet import SiameseUNet
from export.architectures.unet import UNet

Depths = TypeVar("Depths")

MEAN = (0.485, 0.456, 0.406)
"""ImageNet mean of RGB in [0, 1]; networks of damage take (rgb / 255 - MEAN) / STD."""

STD = (0.229, 0.224, 0.225)
"""ImageNet standard deviation of RGB in [0, 1]."""

DEPTHS: dict[str, tuple[int, ...]] = {"resnet101": RESNET101, "resnet26": RESNET26}
"""Name of a residual backbone → its bottlenecks per stage; the paper's is first."""

FANET_DEPTHS: dict[str, tuple[int, ...]] = {"fanet_b": FANET_B, "fanet_s": FANET_S}
"""The same of FANet, and its blocks."""

INPUTS: dict[str, tuple[str, ...]] = {"fcn": ("pre",), "siamunet": ("pre", "post")}
"""Per architecture of damage the roles of its images, in order."""

ZEROWASTE_CLASSES = 5
"""Label values of ZeroWaste, the data set of FANet's paper."""

_DAMAGE: dict[str, Callable[[float], nn.Module]] = {"fcn": FCN, "siamunet": SiameseUNet}
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
"""The architectures that take clicks; they have a backbone whose depths can be chosen."""

CT = tuple(_CT)
"""The architectures that take CT slices."""

WASTE = ("fanet", "waste_fcn")
"""The architectures that take photographs of waste; they have as many classes as their label set."""

FILMS = tuple(_FILMS)
"""The architectures that take chest radiographs."""

BACKBONED = (*_CLICKS, "fanet", *_FILMS)
"""The architectures whose backbone has depths to choose from."""

ARCHITECTURES = (*_DAMAGE, *_CT, *_CLICKS, *WASTE, *_FILMS)
"""All of them."""


def build_network(
    architecture: str, width: float = 1.0, depths: str | None = None, classes: int = ZEROWASTE_CLASSES
) -> nn.Module:
    """Return an untrained network.

    Args:
        architecture: ``fcn`` takes (pre), ``siamunet`` (pre, post), ``iog`` and ``dextr`` a crop with its click maps,
            ``iog_refine`` that and the maps of all clicks so far; ``cogseg`` and ``ct_unet`` take CT slices;
            ``fanet`` and ``waste_fcn`` take photographs, the others radiographs.
        width: scales every hidden layer; 1.0 is the paper's size.
        depths: name of the backbone, for interactive networks and FANet, or of the share of the repeated blocks, for
            radiographs; without it the paper's.
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
    if architecture not in _CLICKS:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    return _CLICKS[architecture](width, _named(DEPTHS, depths))


def _named(known: Mapping[str, Depths], name: str | None) -> Depths:
    """Return the depths of that name, or of the first without one."""
    name = name or next(iter(known))
    if name not in known:
        raise ValueError(f"unknown backbone {name!r}; known: {', '.join(known)}")
    return known[name]
