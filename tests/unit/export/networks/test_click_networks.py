"""IOG, its refinement and DEXTR: sizes of the paper, and parts that do what they are named for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from export.networks import build_network
from export.networks.iog import IOGRefine
from export.networks.pyramid import AveragePool
from tests.support.checkpoints import DIVIDED, INTERACTIVE, WIDTH, click_inputs, untrained

pytestmark = pytest.mark.processors


def full(architecture: str) -> nn.Module:
    """Return the network at the paper's size, without values."""
    with torch.device("meta"):
        return build_network(architecture)


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "parameters"), [("iog", 52_124_106), ("iog_refine", 53_433_546), ("dextr", 48_800_385)]
)
def test_full_width_has_the_documented_number_of_parameters(architecture: str, parameters: int) -> None:
    assert size_of(full(architecture)) == parameters


def test_the_parts_of_iog_have_the_documented_sizes() -> None:
    network = full("iog")
    sizes = {name: round(size_of(part) / 1e6, 2) for name, part in network.named_children()}
    assert sizes == {"backbone": 42.51, "psp4": 6.30, "Coarse_net": 1.06, "Fine_net": 2.26}
    assert size_of(network.get_submodule("Coarse_net.upsamples.0")) == 66_048
    assert len(network.state_dict()) == 918


def test_the_refinement_has_five_more_layers_and_wider_pyramids() -> None:
    base, refined = full("iog").state_dict(), full("iog_refine").state_dict()
    branch = {key for key in refined if key.startswith("iog_points.")}
    assert refined.keys() - base.keys() == branch
    assert {key.split(".")[1] for key in branch if refined[key].ndim == 4} == {"0", "3", "6", "9", "12"}
    assert refined["psp4.stages.0.1.weight"].shape == (528, 2112, 1, 1)
    assert refined["psp4.bottleneck.0.weight"].shape == (512, 4224, 1, 1)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(32, 32), (16, 16), (64, 64), (4, 4), (7, 13)])
def test_average_pooling_is_torchs(bins: int, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(bins))
    torch.testing.assert_close(AveragePool(bins)(x), F.adaptive_avg_pool2d(x, bins))


@pytest.mark.parametrize("size", [512, 256])
@pytest.mark.parametrize("architecture", INTERACTIVE)
def test_logits_have_the_documented_size(architecture: str, size: int) -> None:
    with torch.device("meta"):
        network = build_network(architecture).eval()
        channels = 4 if architecture == "dextr" else 5
        clicks = (torch.empty(1, 2, size, size),) if architecture in DIVIDED else ()
        logits = network(torch.empty(1, channels, size, size), *clicks)
    side, maps = size // {"dextr": 8, "click_unet": 2}.get(architecture, 4), 5 if "iog" in architecture else 1
    assert [tuple(each.shape) for each in logits] == [(1, 1, side, side)] * maps


@pytest.mark.parametrize("size", [512, 256])
def test_features_have_the_documented_size(size: int) -> None:
    network = full("iog_refine").eval()
    assert isinstance(network, IOGRefine)
    features = network.encode(torch.empty(1, 5, size, size, device="meta"))
    sides = [size // stride for stride in (4, 8, 16, 16)]
    assert [tuple(each.shape[1:]) for each in features] == [
        (channels, side, side) for channels, side in zip((256, 512, 1024, 2048), sides, strict=True)
    ]


def test_encoding_then_decoding_is_the_whole_network() -> None:
    network = untrained("iog_refine")
    assert isinstance(network, IOGRefine)
    joined, clicks = click_inputs("iog_refine")
    with torch.inference_mode():
        halves = network.decode(network.encode(joined), clicks)
        for half, whole in zip(halves, network(joined, clicks), strict=True):
            torch.testing.assert_close(half, whole, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ["iog", "iog_refine"])
def test_the_first_upsampling_of_the_published_weights_never_runs(architecture: str) -> None:
    network, inputs = untrained(architecture), click_inputs(architecture)
    with torch.inference_mode():
        before = network(*inputs)[-1]
        for parameter in network.get_submodule("Coarse_net.upsamples.0").parameters():
            parameter.fill_(float("nan"))
        torch.testing.assert_close(network(*inputs)[-1], before, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", INTERACTIVE)
def test_the_answer_depends_on_image_and_clicks(architecture: str) -> None:
    network, (joined, *clicks) = untrained(architecture), click_inputs(architecture)
    with torch.inference_mode():
        answer = network(joined, *clicks)[-1]
        for channels in (slice(0, 3), slice(3, None)):
            other = joined.clone()
            other[:, channels] = 255 - other[:, channels]
            assert not torch.allclose(network(other, *clicks)[-1], answer)
        if clicks:
            assert not torch.allclose(network(joined, 255 - clicks[0])[-1], answer)


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(ValueError, match=r"'resnet18'.*resnet101, resnet50, resnet26"):
        build_network("iog", WIDTH, "resnet18")
