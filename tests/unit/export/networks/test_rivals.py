"""The networks that papers compare theirs with have their authors' sizes, and answer on the grid of their input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.networks import build_network
from export.networks.cct import CCT
from export.networks.fcn8s import FCN8s
from export.networks.focalnet import LAYOUTS, FocalNet
from export.networks.unet_plus_plus import UNetPlusPlus
from export.networks.uperhead import UPerNet
from tests.support.checkpoints import CT, depths_of

SIZES = [
    ("unet_plus_plus", 1.0, None, 9_163_248),
    ("unet_plus_plus", 0.5, None, 2_293_760),
    ("attention_unet", 1.0, None, 34_877_616),
    ("denseunet", 1.0, "densenet161", 49_527_908),
    ("fcn8s", 1.0, None, 134_284_620),
    ("fcn8s", 0.25, None, 2_598_876),
    ("deeplabv2", 1.0, "resnet101", 42_795_088),
    ("deeplabv2", 0.25, "small", 1_093_728),
    ("hrnet", 1.0, "w48", 65_848_564),
    ("hrnet", 1.0, "w18", 9_637_054),
    ("hrnet", 1.0, "w18-small", 1_919_942),
    ("deeplabv3plus", 1.0, "resnet101", 59_463_717),
    ("deeplabv3plus", 0.25, "resnet26", 1_939_021),
    ("reco", 1.0, "resnet101", 59_516_581),
]
SERVED = [
    ("cct", 1.0, "resnet50", 46_708_520),
    ("cct", 0.25, "resnet26", 2_329_624),
    ("focalnet", 1.0, "focalnet_t", 60_575_061),
    ("focalnet", 1.0, "focalnet_b", 124_433_381),
    ("focalnet", 0.25, "focalnet_small", 2_427_701),
    ("fanet_parts", 1.0, "fanet_b_base", 35_117_221),
]
"""Those of which a part is served: it alone is counted."""


@pytest.mark.parametrize(("architecture", "width", "depths", "parameters"), [*SIZES, *SERVED])
def test_a_network_has_the_documented_number_of_parameters(
    architecture: str, width: float, depths: str | None, parameters: int
) -> None:
    # Without memory: only shapes are asked for.
    with torch.device("meta"):
        network = build_network(architecture, width, depths)
        counted = network.labelling() if isinstance(network, UPerNet | CCT) else network
    assert size(counted) == parameters


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_focalnets_classifiers_have_the_sizes_that_paper_002_states() -> None:
    for layout, parameters in (("focalnet_t", 28_647_928), ("focalnet_b", 88_749_768)):
        with torch.device("meta"):
            network = FocalNet(1.0, LAYOUTS[layout], kernels=(3, 5, 7))
            head = nn.Linear(network.dims[-1], 1000)
        # A classifier normalises the last of the four outputs alone.
        assert size(network) - sum(map(size, network.norms[:3])) + size(head) == parameters


def test_cct_learns_with_thirty_decoders_of_the_documented_size() -> None:
    with torch.device("meta"):
        network = build_network("cct")
    assert isinstance(network, CCT)
    assert [size(decoder) for _, decoder in network.others()] == [2_920] * 30


@pytest.mark.parametrize("architecture", dict.fromkeys(name for name, *_ in SIZES if name in CT))
def test_labels_lie_on_the_grid_of_the_slice(architecture: str) -> None:
    network = build_network(architecture, 1 / 16, depths_of(architecture)).eval()
    logits = network(torch.rand(2, 1, 96, 64))
    assert logits.shape == (2, 4, 96, 64)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("architecture", "stride"), [("deeplabv3plus", 4), ("reco", 4), ("cct", 1), ("focalnet", 4)])
def test_labels_of_a_photograph_lie_on_a_grid_as_fine_as_the_authors(architecture: str, stride: int) -> None:
    network = build_network(architecture, 1 / 16, depths_of(architecture), 3).eval()
    logits = network(torch.randn(2, 3, 96, 64))
    assert logits.shape == (2, 3, 96 // stride, 64 // stride)
    assert logits.isfinite().all()


def test_unet_plus_plus_is_supervised_at_four_depths_and_answers_with_the_last() -> None:
    network, slices = UNetPlusPlus(1 / 16).eval(), torch.rand(1, 1, 32, 32)
    heads = network.supervised(slices)
    assert [head.shape for head in heads] == [(1, 4, 32, 32)] * 4
    torch.testing.assert_close(network(slices), heads[-1])


def test_fcn8s_enlarges_bilinearly_and_never_learns_to() -> None:
    network = FCN8s(1 / 16)
    layers = (network.upscore2, network.upscore4, network.upscore8)
    assert not any(layer.weight.requires_grad for layer in layers)
    # Away from the edge a constant stays what it is, and each class is enlarged by itself.
    constant = torch.zeros(1, 4, 6, 6)
    constant[:, 2] = 1.0
    enlarged = network.upscore8(constant)[..., 8:-8, 8:-8]
    torch.testing.assert_close(enlarged[:, 2], torch.ones_like(enlarged[:, 2]))
    assert not enlarged[:, [0, 1, 3]].any()
