"""The Siamese U-Net on the public encoder: any size, differences that matter, pairs of half scale, balanced events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.graphs.contract import graph_of, to_onnx
from export.networks import architecture_of
from export.networks.siamese_lite0 import SiameseLite0
from export.parity.cases import cases_of
from export.registry import CATALOG
from export.tasks.damage.recipe import PairRecipe
from export.tasks.damage.samples import Draw, Sampler, Tile, load_tile
from export.tasks.damage.train import PairRun
from export.training.recipe import RunOptions, recipe_of
from tests.support.checkpoints import checkpoint, small_entry, untrained

pytestmark = pytest.mark.training

TINY = PairRecipe(
    network="siamese_lite0",
    name="tiny",
    width=1 / 8,
    reduction=1,
    draw=Draw(64, 2),
    steps=20,
    learning_rate=1e-2,
    average=0.9,
    threshold=0.5,
)


class HalfScale:
    """A pair of half xBD's side, bright where a building stands."""

    event = "quake"

    def read_labels(self) -> NDArray[np.uint8]:
        labels = np.zeros((512, 512), np.uint8)
        labels[100:140, 100:140] = 1
        return labels

    def read_pre(self) -> NDArray[np.uint8]:
        return np.repeat((self.read_labels() * np.uint8(200))[..., None], 3, axis=2)

    read_post = read_pre


def constant(value: int) -> Tile:
    """Return a tile of one grey, which tells where a sample is from."""
    image = np.full((64, 64, 3), value, np.uint8)
    nothing = {label: np.zeros((0, 2)) for label in (1, 2, 3, 4)}
    return Tile(image, image, np.zeros((64, 64), np.uint8), nothing)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80), (272, 272)])
def test_any_size_is_answered_at_its_own_size(height: int, width: int) -> None:
    network = untrained("siamese_lite0")
    with torch.inference_mode():
        logits = network(*torch.randn(2, 1, 3, height, width))
    assert logits.shape == (1, 5, height, width)


def test_the_answer_depends_on_both_images() -> None:
    network = untrained("siamese_lite0")
    pre, post = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        answer = network(pre, post)
        assert not torch.allclose(network(pre, pre), answer)
        assert not torch.allclose(network(post, post), network(pre, pre))


def test_the_served_graph_is_what_was_trained() -> None:
    entry = small_entry("bd-lite0")
    network = untrained("siamese_lite0")
    graph = graph_of(network, checkpoint("siamese_lite0"), entry)
    [case] = cases_of(network, [entry], [graph], [{"onnx": to_onnx(graph)}], 0.5)
    drawn = case.draw("natural", 2)
    deviation = case.deviation(case.reference(drawn), case.runners["onnx"](drawn))
    assert deviation.probability_difference <= 2 / 255
    assert deviation.flipped_share <= 1e-3


def test_images_become_what_the_public_weights_expect() -> None:
    colours = architecture_of("siamese_lite0").colours
    assert [255 * mean for mean in colours.mean] == pytest.approx([127] * 3)
    assert [255 * std for std in colours.std] == pytest.approx([128] * 3)


def test_a_pair_of_half_scale_is_reduced_half_as_much() -> None:
    assert load_tile(HalfScale(), 2).labels.shape == (512, 512)
    assert load_tile(HalfScale(), 4).labels.shape == (256, 256)


def test_events_are_balanced_as_the_draw_says() -> None:
    tiles, events = [constant(20)] * 9 + [constant(220)], ["many"] * 9 + ["one"]
    draw = Draw(16, 200, anywhere=1.0, drawn=0.0, unchanged=0.0)
    bright = {}
    for balance in (0.0, 1.0):
        batch = Sampler(tiles, [], replace(draw, balance=balance), 0, events).batch(0)
        bright[balance] = int((batch.pre.mean(axis=(1, 2, 3)) > 110).sum())
    assert bright[0.0] < 45
    assert 70 < bright[1.0] < 130


def test_steps_on_the_same_batch_lower_the_loss() -> None:
    run = PairRun(TINY, RunOptions())
    batch = Sampler([load_tile(HalfScale(), 1)], [], TINY.draw, 0).batch(0)
    losses = [sum(run.learn(batch).values()) for _ in range(15)]
    assert min(losses[-3:]) < 0.8 * losses[0]


def test_the_recipe_that_ships_begins_with_the_public_weights() -> None:
    chosen = recipe_of("siamese_lite0", "demo")
    assert chosen.pretrained
    assert chosen.encoder_rate < 1
    assert CATALOG["bd-lite0"].architecture == "siamese_lite0"
    assert isinstance(SiameseLite0(1 / 16).lite0.channels, tuple)
