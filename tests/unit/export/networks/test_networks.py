"""Networks have the paper's sizes and shapes."""

from __future__ import annotations

import pytest
import torch

from export.networks import build_network
from export.networks.cogseg import CogSeg


@pytest.mark.parametrize(
    ("architecture", "parameters"), [("fcn", 2_239_682), ("siamunet", 31_037_893), ("ct_unet", 31_036_676)]
)
def test_full_width_has_the_documented_number_of_parameters(architecture: str, parameters: int) -> None:
    assert sum(p.numel() for p in build_network(architecture).parameters()) == parameters


@pytest.mark.parametrize(
    ("architecture", "inputs", "channels", "classes"), [("fcn", 1, 3, 2), ("siamunet", 2, 3, 5), ("ct_unet", 1, 1, 4)]
)
def test_logits_have_the_size_of_the_image(architecture: str, inputs: int, channels: int, classes: int) -> None:
    images = [torch.zeros(2, channels, 48, 32)] * inputs
    assert build_network(architecture, 0.05).eval()(*images).shape == (2, classes, 48, 32)


def test_cogseg_without_its_super_resolution_has_the_documented_number_of_parameters() -> None:
    network = CogSeg()
    assert sum(p.numel() for p in network.labelling().parameters()) == 31_053_124
    # The branches differ by their heads alone: four classes or one grey value, 64 weights and a bias each.
    assert 31_053_124 - sum(p.numel() for p in network.sharpening().parameters()) == 3 * 65


def test_cogsegs_branches_have_one_shape_and_double_the_size() -> None:
    network = CogSeg(0.05).eval()
    segmentation, sharpened = network(torch.rand(2, 1, 48, 32))
    assert [stage.shape for stage in segmentation[:4]] == [stage.shape for stage in sharpened[:4]]
    assert [stage.shape[2:] for stage in segmentation[:4]] == [(6 * 2**n, 4 * 2**n) for n in range(4)]
    assert segmentation[-1].shape == (2, 4, 96, 64)
    assert sharpened[-1].shape == (2, 1, 96, 64)


def test_cogsegs_paths_are_its_branches_without_the_other() -> None:
    network, slices = CogSeg(0.05).eval(), torch.rand(1, 1, 32, 32)
    segmentation, sharpened = network(slices)
    torch.testing.assert_close(network.labelling()(slices), segmentation[-1])
    torch.testing.assert_close(network.sharpening()(slices), sharpened[-1])
    assert not any("super_resolution" in name for name, _ in network.labelling().named_modules())


def test_width_scales_every_hidden_layer() -> None:
    full, half = (build_network("siamunet", width).state_dict() for width in (1.0, 0.5))
    for name, kernel in full.items():
        if kernel.ndim == 4 and name not in ("encoder.0.0.weight", "head.weight"):
            assert [side / 2 for side in kernel.shape[:2]] == list(half[name].shape[:2])


def test_siamese_sees_nothing_but_differences() -> None:
    torch.manual_seed(0)
    network = build_network("siamunet", 0.1).eval()
    flat, other = torch.zeros(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(network(flat, flat), network(other, other))
    assert not torch.allclose(network(flat, other), network(other, other))


def test_unknown_architecture_is_named_beside_all_that_are_known() -> None:
    with pytest.raises(ValueError, match="'unet'") as refusal:
        build_network("unet")
    assert {
        *("fcn", "siamunet", "dahitra", "dahitra_levir", "cnn", "cogseg", "ct_unet", "iog", "iog_refine", "dextr"),
        *("fanet", "waste_fcn", "inceptionv3", "inception_resnetv2", "resnet101v2", "densenet201"),
    } <= set(str(refusal.value).partition("known: ")[2].split(", "))
