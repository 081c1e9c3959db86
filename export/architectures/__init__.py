"""The networks of the papers, and the constants that training and serving must share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from export.architectures.cogseg import CogSeg
from export.architectures.densenet201 import DenseNet201
from export.architectures.dextr import DEXTR
from export.architectures.fcn import FCN
from export.architectures.inception_resnetv2 import InceptionResNetV2
from export.architectures.inceptionv3 import InceptionV3
from export.architectures.iog import IOG, IOGRefine
from export.architectures.keras_layers import FILM_DEPTHS
from export.architectures.resnet import RESNET26, RESNET101
from export.architectures.resnet101v2 import ResNet101V2
from export.architectures.siamunet import SiameseUNet
from export.architectures.unet import UNet

MEAN = (0.485, 0.456, 0.406)
"""ImageNet mean of RGB in [0, 1]; networks of damage take (rgb / 255 - MEAN) / STD."""

STD = (0.229, 0.224, 0.225)
"""ImageNet standard deviation of RGB in [0, 1]."""

DEPTHS: dict[str, tuple[int, ...]] = {"resnet101": RESNET101, "resnet26": RESNET26}
"""Name of a backbone → its bottlenecks per stage."""

INPUTS: dict[str, tuple[str, ...]] = {"fcn": ("pre",), "siamunet": ("pre", "post")}
"""Per architecture of damage the roles of its images, in order."""

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

FILMS = tuple(_FILMS)
"""The architectures that take chest radiographs."""

ARCHITECTURES = (*_DAMAGE, *_CT, *_CLICKS, *_FILMS)
"""All of them."""


def build_network(architecture: str, width: float = 1.0, depths: str = "resnet101") -> nn.Module:
    """Return an untrained network.

    Args:
        architecture: ``fcn`` takes (pre), ``siamunet`` (pre, post), ``iog`` and ``dextr`` a crop with its click maps,
            ``iog_refine`` that and the maps of all clicks so far; ``cogseg`` and ``ct_unet`` take CT slices; the
            others take radiographs.
        width: scales every hidden layer; 1.0 is the paper's size.
        depths: name of the backbone, for interactive networks; share of the repeated blocks, for radiographs.

    Raises:
        ValueError: no architecture, or no backbone, has that name.
    """
    if plain := (_DAMAGE | _CT).get(architecture):
        return plain(width)
    if film := _FILMS.get(architecture):
        if depths not in FILM_DEPTHS:
            raise ValueError(f"unknown depth {depths!r}; known: {', '.join(FILM_DEPTHS)}")
        return film(width, FILM_DEPTHS[depths])
    if architecture not in _CLICKS:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    if depths not in DEPTHS:
        raise ValueError(f"unknown backbone {depths!r}; known: {', '.join(DEPTHS)}")
    return _CLICKS[architecture](width, DEPTHS[depths])
