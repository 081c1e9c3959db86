"""Batch normalisation for the time of training, in a network that is served without.

A network without it learns slowly: the signal's scale has to be found again by every layer. Normalisation after each
convolution mends that, and in evaluation mode it is one affine map per channel, which the convolution before it can
take over exactly. So the network that is kept has the architecture's own layers and no others.
"""

from __future__ import annotations

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_Convolution = nn.Conv2d | nn.ConvTranspose2d


def normalised(network: nn.Module) -> nn.Module:
    """Return the network with batch normalisation after each convolution of its sequences; it is changed in place."""
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential):
            layers: list[nn.Module] = []
            for layer in child:
                layers.append(layer)
                if isinstance(layer, _Convolution):
                    layers.append(nn.BatchNorm2d(layer.out_channels))
            setattr(network, name, nn.Sequential(*layers))
    return network


def folded(network: nn.Module) -> nn.Module:
    """Return a copy of a `normalised` network in evaluation mode, its normalisation folded into the convolutions."""
    network = deepcopy(network).eval()
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential):
            layers: list[nn.Module] = []
            for layer in child:
                before = layers[-1] if layers else None
                if isinstance(layer, nn.BatchNorm2d) and isinstance(before, _Convolution):
                    layers[-1] = fuse_conv_bn_eval(before, layer, transpose=isinstance(before, nn.ConvTranspose2d))
                else:
                    layers.append(layer)
            setattr(network, name, nn.Sequential(*layers))
    return network
