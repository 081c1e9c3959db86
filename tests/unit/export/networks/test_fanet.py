"""FANet has the paper's sizes, its parts and the names of the published weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.networks import build_network
from export.networks.fanet import FANET_S, FANet, FANetClassifier, FANetUPer, stage_dims
from export.networks.fanet_blocks import FeatureRefinement, Parts


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_full_width_has_the_documented_numbers_of_parameters() -> None:
    with torch.device("meta"):
        network, classifier = FANetUPer(), FANetClassifier()
    assert size(network.backbone) == 35_951_328
    assert size(network.decode_head) == 9_223_429
    assert size(network.auxiliary_head) == 886_533
    assert size(network.labelling()) == 45_174_757
    assert size(classifier) == 36_721_864, "36.72 M, of which the paper states 36.7"


def test_features_and_logits_of_512_pixels_have_the_documented_shapes() -> None:
    with torch.device("meta"):
        network, image = FANetUPer().eval(), torch.empty(1, 3, 512, 512)
        features = network.backbone(image)
        logits, auxiliary = network.with_auxiliary(image)
        classified = FANetClassifier().eval().logits(torch.empty(2, 3, 224, 224))
    shapes = [tuple(each.shape[1:]) for each in features]
    assert shapes == [(96, 128, 128), (192, 64, 64), (384, 32, 32), (768, 16, 16)]
    assert logits.shape == (1, 5, 128, 128)
    assert auxiliary.shape == (1, 5, 32, 32)
    assert classified.shape == (2, 1000)


@pytest.mark.parametrize(
    ("parts", "parameters"),
    [
        (Parts(scm=False), 27_210_240),
        (Parts(frm_high=False), 35_307_360),
        (Parts(frm_low=False), 35_307_360),
        (Parts(frm_high=False, frm_low=False), 33_409_152),
        (Parts(scm=False, frm_high=False, frm_low=False), 25_893_792),
    ],
)
def test_every_part_can_be_switched_off(parts: Parts, parameters: int) -> None:
    with torch.device("meta"):
        assert size(FANet(parts=parts)) == parameters
    small = FANet(1 / 12, FANET_S, parts).eval()
    assert [each.shape[1] for each in small(torch.randn(1, 3, 64, 64))] == list(stage_dims(1 / 12))


def test_the_small_network_of_the_demonstration_is_small() -> None:
    with torch.device("meta"):
        network = FANetUPer(1 / 6, FANET_S, 3)
    assert size(network.labelling()) <= 850_000


def test_layers_have_the_names_of_the_published_weights() -> None:
    with torch.device("meta"):
        keys = set(FANetUPer().state_dict())
    block = "backbone.stages.2.7"
    for layer in (
        "backbone.downsample_layers.0",
        "backbone.downsample_layers.3",
        *(f"{block}.{name}" for name in ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.pos", "mlp.fc2")),
        *(f"{block}.attn.{name}" for name in ("dwconv", "proj1", "proj2", "ctx_conv", "norm1", "norm2", "norm3")),
        *(f"{block}.attn.enhance.{name}" for name in ("lconv", "hconv", "norm1", "norm2", "down", "proj")),
        "decode_head.conv_seg",
        "auxiliary_head.conv_seg",
    ):
        assert {f"{layer}.weight", f"{layer}.bias"} <= keys, layer
    for unit in (
        *(f"decode_head.psp_modules.{level}.1" for level in range(4)),
        "decode_head.bottleneck",
        *(f"decode_head.{name}.{level}" for name in ("lateral_convs", "fpn_convs") for level in range(3)),
        "decode_head.fpn_bottleneck",
        "auxiliary_head.convs.0",
    ):
        assert {f"{unit}.conv.weight", f"{unit}.bn.weight", f"{unit}.bn.running_var"} <= keys, unit
        assert f"{unit}.conv.bias" not in keys
    with torch.device("meta"):
        classifier = set(FANetClassifier().state_dict())
    assert {"norm.weight", "head.weight", "downsample_layers.0.weight", "stages.0.1.mlp.fc1.bias"} <= classifier


def test_the_high_branch_sees_nothing_of_what_is_flat() -> None:
    refinement = FeatureRefinement(4, Parts(frm_low=False)).eval()
    nn.init.constant_(refinement.down.weight, 1 / 9)
    nn.init.zeros_(refinement.down.bias)  # type: ignore[arg-type]
    flat, other = torch.full((1, 4, 16, 16), 0.7), torch.full((1, 4, 16, 16), -2.0)
    inside = (..., slice(5, -5), slice(5, -5))
    with torch.no_grad():
        torch.testing.assert_close(refinement(flat)[inside], refinement(other)[inside])
        assert not torch.allclose(refinement(torch.randn(1, 4, 16, 16))[inside], refinement(flat)[inside])


def test_samples_skip_blocks_in_training_alone() -> None:
    torch.manual_seed(0)
    backbone = FANet(1 / 12, FANET_S, drop=0.9)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        trained = [backbone.train()(images)[-1] for _ in range(2)]
        served = [backbone.eval()(images)[-1] for _ in range(2)]
    assert not torch.equal(*trained)
    torch.testing.assert_close(*served, rtol=0, atol=0)


def test_a_backbone_is_known_or_named() -> None:
    assert size(build_network("fanet", 1 / 12, "fanet_s", 3)) < size(build_network("fanet", 1 / 12, "fanet_b", 3))
    with pytest.raises(ValueError, match=r"'resnet26'; known: fanet_b, fanet_s"):
        build_network("fanet", 1 / 12, "resnet26")
