"""The four networks have Keras' sizes, and answer as Keras does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from export.checkpoints.importing import import_keras
from export.networks import build_network
from export.networks.keras_layers import FilmNetwork, keras_names, keras_size
from export.training.recipe import recipe_of
from tests.support.checkpoints import FILMS

pytestmark = [pytest.mark.processors, pytest.mark.training]

SIZES = {
    "inceptionv3": (21_802_784, 22_065_826, (5, 2048)),
    "inception_resnetv2": (54_336_736, 54_534_242, (5, 1536)),
    "resnet101v2": (42_626_560, 42_889_602, (7, 2048)),
    "densenet201": (18_321_984, 18_568_642, (7, 1920)),
}
"""Keras' count without the head and with it, side and channels of the features of 224 pixels: MODELS.md."""

KERAS = {
    "inceptionv3": ("InceptionV3", 96),
    "inception_resnetv2": ("InceptionResNetV2", 107),
    # An odd side after the first convolution: the frame of zeros of the first pool is reached at one end or at both.
    "resnet101v2": ("ResNet101V2", 97),
    "densenet201": ("DenseNet201", 64),
}


@pytest.mark.parametrize("architecture", FILMS)
def test_full_width_has_keras_number_of_parameters_and_features(architecture: str) -> None:
    without, total, (side, channels) = SIZES[architecture]
    with torch.device("meta"):
        network = cast(FilmNetwork, build_network(architecture, depths="full")).eval()
        features = network.backbone(torch.empty(1, 3, 224, 224))
    assert features.shape == (1, channels, side, side)
    assert keras_size([network.backbone]) == without
    assert keras_size([network]) == total


@pytest.mark.parametrize("architecture", FILMS)
def test_small_networks_fit_into_a_repository(architecture: str) -> None:
    recipe = recipe_of(architecture, "demo")
    network = build_network(architecture, recipe.width, recipe.depths).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) <= 620_000
    with torch.inference_mode():
        assert network(torch.rand(2, 3, recipe.size, recipe.size)).shape == (2, 2)


def test_an_unknown_depth_is_named() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'half'; known: full, quarter"):
        build_network("densenet201", depths="half")


@pytest.mark.parametrize("architecture", FILMS)
def test_layers_have_names_of_their_own(architecture: str) -> None:
    with torch.device("meta"):
        network = cast(FilmNetwork, build_network(architecture, depths="full"))
    names = [name for name, _ in keras_names(network)]
    assert len(set(names)) == len(names)
    weighted = [module for module in network.modules() if module.state_dict() and not list(module.children())]
    assert len(names) == len(weighted)


@pytest.mark.filterwarnings("ignore")  # What Keras and its parts warn of is not ours.
@pytest.mark.parametrize("architecture", FILMS)
def test_the_networks_answer_as_keras_does(architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    name, side = KERAS[architecture]
    keras.utils.set_random_seed(0)
    # Keras goes on counting its layers: numbers of the model's own do not begin at none.
    keras.layers.Conv2D(1, 1), keras.layers.BatchNormalization()
    theirs = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(side, side, 3))
    _randomise(keras, theirs)
    theirs.save_weights(tmp_path / "their.weights.h5")
    imported = import_keras(tmp_path / "their.weights.h5", architecture)
    ours = cast(FilmNetwork, build_network(architecture, depths="full")).eval()
    missing, unexpected = ours.load_state_dict(imported.state_dict, strict=False)
    assert all(key.startswith("head.") for key in missing)
    assert not unexpected
    images = torch.rand(2, side, side, 3)
    with torch.inference_mode():
        wanted = theirs(images, training=False).detach()
        given = ours.backbone(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert wanted.std() > 0.01, "features that say one thing of everything prove nothing"
    torch.testing.assert_close(given, wanted, rtol=1e-3, atol=1e-4)


def _randomise(keras: Any, model: Any) -> None:
    """Give every normalisation statistics, shift and scale that a trained one could have."""
    rng = np.random.default_rng(0)
    ranges = {"gamma": (0.6, 1.4), "beta": (-0.3, 0.3), "moving_mean": (-0.3, 0.3), "moving_variance": (0.5, 1.5)}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            names = [weight.path.rpartition("/")[2] for weight in layer.weights]
            layer.set_weights(
                [rng.uniform(*ranges[name], weight.shape) for name, weight in zip(names, layer.weights, strict=True)]
            )
