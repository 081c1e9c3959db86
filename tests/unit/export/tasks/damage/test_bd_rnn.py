"""Recurrent networks: their size and cells, series of dates, and the way from training to an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from export.build import build
from export.graphs.contract import graph_of
from export.networks import build_network
from export.networks.siamcrnn import ConvLSTM
from export.registry import CATALOG
from export.tasks.damage.recipe import PairRecipe
from export.tasks.damage.samples import BETWEEN, Draw, Sampler, load_tile
from export.tasks.damage.train import PairRun, train
from export.training.recipe import RunOptions, recipe_of
from export.verify import verify, verify_source
from gateway.app import create_app
from gateway.repository.store import scan
from gateway.settings import Settings
from tests.support.app_client import running
from tests.support.checkpoints import checkpoint, small_entry, untrained
from tests.support.pictures import decode, encode, noise
from tests.unit.export.tasks.damage.test_training import Town

pytestmark = pytest.mark.processors

TINY = PairRecipe(
    network="siamcrnn",
    name="tiny",
    # Less wide, torch 2.13's gradient of its strided 1×1 convolutions writes beyond its memory where AVX2 is all there
    # is: with channels last and fewer than eight of them.
    width=1 / 8,
    depths="resnet18",
    reduction=1,
    draw=Draw(64, 2, series=1.0),
    steps=4,
    learning_rate=3e-3,
    average=0.8,
    scenes=1,
    threshold=0.5,
)

TINY_LITE0 = replace(TINY, network="crnn_lite0", depths=None, learning_rate=1e-2)


def test_full_width_has_the_documented_size_and_cost() -> None:
    with torch.device("meta"):
        network = build_network("siamcrnn").eval()
        pair = torch.empty(2, 1, 3, 256, 256)
    assert sum(p.numel() for p in network.parameters()) == 28_513_861
    with FlopCounterMode(display=False) as counter:
        network(*pair)
    assert counter.get_total_flops() / 2e9 == pytest.approx(27.5, abs=0.1)


def test_the_small_one_ships_in_a_megabyte_and_a_half() -> None:
    demo = recipe_of("siamcrnn", "demo")
    with torch.device("meta"):
        network = build_network("siamcrnn", demo.width, demo.depths)
    assert sum(p.numel() for p in network.parameters()) < 750_000


def test_a_cell_of_one_pixel_is_torchs_lstm() -> None:
    torch.manual_seed(0)
    cell, judge = ConvLSTM(3, 4), torch.nn.LSTM(3, 4)
    middle, order = cell.gates.weight[:, :, 1, 1], [0, 1, 3, 2]
    # Torch has the gates as input, forget, new, output; ours are input, forget, output, new.
    weights = torch.cat([middle.chunk(4)[gate] for gate in order]).detach()
    bias = cell.gates.bias
    assert bias is not None
    judged = {
        "weight_ih_l0": weights[:, :3],
        "weight_hh_l0": weights[:, 3:],
        "bias_ih_l0": torch.cat([bias.chunk(4)[gate] for gate in order]),
        "bias_hh_l0": torch.zeros(16),
    }
    judge.load_state_dict(judged)
    with torch.no_grad():
        series = torch.randn(5, 2, 3)
        expected = judge(series)[0][-1]
        torch.testing.assert_close(cell(series[..., None, None].unbind())[..., 0, 0], expected)


@pytest.mark.parametrize("architecture", ["siamcrnn", "crnn_lite0"])
def test_dates_and_their_order_count(architecture: str) -> None:
    network = untrained(architecture)
    first, second, third = torch.randn(3, 1, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        pair = network(first, second)
        assert pair.shape == (1, 5, 48, 80)
        assert not torch.allclose(pair, network(second, first))
        assert not torch.allclose(network(first, third, second), pair)
        # A batch does not mix its items.
        both = network(torch.cat([first, third]), torch.cat([second, second]))
        torch.testing.assert_close(both[:1], pair, rtol=1e-4, atol=1e-5)


def test_series_begin_with_the_image_before_and_may_change_once() -> None:
    draw = Draw(64, 24, series=1.0, unchanged=0.0, anywhere=0.0)
    batch = Sampler([load_tile(Town(), 1)], [], draw, 0).batch(0)
    assert len(batch.between) == BETWEEN
    assert all(images.shape == batch.pre.shape for images in batch.between)
    filled = np.array([(images == batch.pre).all(axis=(1, 2, 3)) for images in batch.between])
    assert 0.3 < filled[0].mean() < 1
    # What is filled in comes before what is dated.
    assert not (filled[1] & ~filled[0]).any()
    assert Sampler([load_tile(Town(), 1)], [], replace(draw, series=0.0), 0).batch(0).between == ()


@pytest.mark.parametrize("recipe", [TINY, TINY_LITE0], ids=lambda recipe: recipe.network)
def test_steps_on_a_series_lower_the_loss(recipe: PairRecipe) -> None:
    run = PairRun(recipe, RunOptions())
    batch = Sampler([load_tile(Town(), 1)], [], recipe.draw, 0).batch(0)
    losses = [sum(run.learn(batch).values()) for _ in range(25)]
    assert min(losses[-3:]) < 0.8 * losses[0]


def test_a_recurrent_network_begins_with_what_a_pair_network_has_learnt() -> None:
    given = PairRun(replace(TINY_LITE0, network="siamese_lite0"), RunOptions(seed=1)).checkpoint()
    run = PairRun(TINY_LITE0, RunOptions())
    run.start_from_network(given)
    own, same = run.network.state_dict(), given.state_dict
    begun = [key for key in own if key in same and same[key].shape == own[key].shape]
    assert begun
    assert all(torch.equal(own[key], same[key]) for key in begun)
    assert any(key.startswith("lite0.") for key in begun)
    assert any(key.startswith("decoder.") for key in begun)
    assert f"{len(begun)} of {len(own)} tensors of siamese_lite0" in run.started


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (TINY, "bd-rnn"),
        (TINY, "bd-rnn-series"),
        (TINY_LITE0, "bd-rnn-lite0"),
        (TINY_LITE0, "bd-rnn-lite0-series"),
    ],
)
def test_a_trained_network_is_built_verified_and_served(
    recipe: PairRecipe, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 64)
    source = train(recipe, None, tmp_path / "run", RunOptions())
    monkeypatch.setitem(CATALOG, name, small_entry(name))
    root = tmp_path / "repository"
    build(source, [CATALOG[name]], root)
    repository = scan(root)
    assert verify(repository) == ()
    assert verify_source(repository, source) == ()
    assert repository.models[name].card.network.depths == recipe.depths
    files = {role: (role, encode(noise(100, 80, seed=seed))) for seed, role in enumerate(("pre", "post"))}
    with running(create_app(Settings(models={"repository": root, "damage": name}))) as client:
        answer = client.post("/v1/damage", files=files)
    assert answer.status_code == 200, answer.text
    assert decode(answer.content).shape == (100, 80)


@pytest.mark.parametrize(
    ("architecture", "name"), [("siamcrnn", "bd-rnn-series"), ("crnn_lite0", "bd-rnn-lite0-series")]
)
def test_a_series_is_served_as_the_network_reads_it(architecture: str, name: str) -> None:
    network = untrained(architecture)
    entry = small_entry(name)
    served = graph_of(network, checkpoint(architecture), entry).module
    images = [torch.from_numpy(noise(64, 64, seed=seed)[None].copy()) for seed in range(4)]
    labels, _ = served(*images)
    assert not torch.equal(served(images[0], images[2], images[1], images[3])[0], labels)
    # Filled with the image before the disaster, a series is not the pair: the network reads that image three times.
    assert served(images[0], images[0], images[0], images[3])[0].shape == labels.shape == (1, 64, 64)
