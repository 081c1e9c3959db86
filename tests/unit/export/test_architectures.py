"""Networks have the paper's sizes and shapes."""

from __future__ import annotations

import pytest
import torch

from export.architectures import build_network


@pytest.mark.parametrize(("architecture", "parameters"), [("fcn", 2_239_682), ("siamunet", 31_037_893)])
def test_full_width_has_the_documented_number_of_parameters(architecture: str, parameters: int) -> None:
    assert sum(p.numel() for p in build_network(architecture).parameters()) == parameters


@pytest.mark.parametrize(("architecture", "inputs", "classes"), [("fcn", 1, 2), ("siamunet", 2, 5)])
def test_logits_have_the_size_of_the_image(architecture: str, inputs: int, classes: int) -> None:
    images = [torch.zeros(2, 3, 48, 32)] * inputs
    assert build_network(architecture, 0.05).eval()(*images).shape == (2, classes, 48, 32)


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


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(ValueError, match=r"'unet'.*fcn, siamunet, iog, iog_refine, dextr"):
        build_network("unet")
