"""Samples are repeatable and aligned; a run learns, survives a kill, and leaves a checkpoint others can read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.checkpoints.files import read_checkpoint
from export.graphs.framing import Framing
from export.networks.colours import normalise
from export.tasks.damage import train as loop
from export.tasks.damage.graph import network_inputs
from export.tasks.damage.recipe import PairRecipe
from export.tasks.damage.samples import Batch, Draw, Sampler, importance, load_tile, paste_building
from export.tasks.damage.train import PairRun
from export.training import augment
from export.training.recipe import RunOptions, recipe_of
from export.training.schedule import learning_rate

pytestmark = [pytest.mark.processors, pytest.mark.training]

TINY = PairRecipe(
    network="siamunet",
    name="tiny",
    width=0.05,
    reduction=1,
    draw=Draw(32, 2),
    steps=6,
    learning_rate=1e-3,
    average=0.9,
    threshold=0.5,
)


class Town:
    """A pair of 64x64 images in which bright squares are buildings, one of them destroyed."""

    event = "storm"

    def read_labels(self) -> NDArray[np.uint8]:
        labels = np.zeros((64, 64), np.uint8)
        labels[8:20, 8:20], labels[36:52, 30:40] = 1, 4
        return labels

    def read_pre(self) -> NDArray[np.uint8]:
        grey = np.where(self.read_labels() > 0, 220, 60).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    def read_post(self) -> NDArray[np.uint8]:
        grey = np.where(self.read_labels() == 1, 220, 60).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with two training pairs and one for validation."""
    root = tmp_path / "data"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    rows = ["tile,split,event,image_format"]
    for index, split in enumerate(("train", "train", "val")):
        tile = f"storm_{index:08d}"
        rows.append(f"{tile},{split},storm,png")
        town = Town()
        cv2.imwrite(str(root / "images" / f"{tile}_pre_disaster.png"), town.read_pre())
        cv2.imwrite(str(root / "images" / f"{tile}_post_disaster.png"), town.read_post())
        cv2.imwrite(str(root / "masks" / f"{tile}_post_disaster.png"), town.read_labels())
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def sampler(seed: int = 0, draw: Draw | None = None) -> Sampler:
    return Sampler([load_tile(Town(), 1)], [], draw or Draw(32, 4), seed)


def test_batches_depend_on_seed_and_step_alone() -> None:
    first, again, later, other = sampler().batch(3), sampler().batch(3), sampler().batch(4), sampler(seed=1).batch(3)
    assert (first.pre == again.pre).all()
    assert (first.labels == again.labels).all()
    assert (first.pre != later.pre).any()
    assert (first.pre != other.pre).any()


def test_batches_have_the_shapes_promised() -> None:
    batch = sampler().batch(0)
    assert batch.pre.shape == batch.post.shape == (4, 32, 32, 3)
    assert batch.labels.shape == batch.importance.shape == (4, 32, 32)
    assert batch.pre.dtype == batch.post.dtype == batch.labels.dtype == np.uint8


def test_labels_stay_on_their_buildings() -> None:
    """Crops turn, flip and scale; bright pixels must still be the labelled ones."""
    tile = load_tile(Town(), 1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        transform = augment.crop_transform(rng, (32.0, 32.0), 40)
        image, labels = augment.warp_image(tile.pre, transform, 40), augment.warp_labels(tile.labels, transform, 40)
        assert ((image[..., 0] > 140) == (labels > 0)).mean() > 0.97


def test_crop_transform_maps_the_middle_to_the_centre() -> None:
    transform = augment.crop_transform(np.random.default_rng(1), (12.0, 50.0), 33)
    np.testing.assert_allclose(transform @ (16, 16, 1), (12, 50))


def test_unchanged_samples_show_standing_buildings() -> None:
    batch = sampler(draw=Draw(32, 8, unchanged=1.0)).batch(0)
    assert set(np.unique(batch.labels)) == {0, 1}


def test_pasted_building_appears_in_all_views() -> None:
    scene = (np.full((40, 40, 3), 50, np.uint8), np.full((40, 40, 3), 60, np.uint8), np.zeros((40, 40), np.uint8))
    labels = np.zeros((24, 24), np.uint8)
    labels[9:15, 8:16] = 4
    donor = (np.full((24, 24, 3), 200, np.uint8), np.full((24, 24, 3), 10, np.uint8), labels)
    pre, post, pasted = paste_building(np.random.default_rng(0), scene, donor, 4)
    assert (pasted == 4).sum() == 48
    assert (pre[pasted == 4] == 200).all()
    assert (post[pasted == 4] == 10).all()
    assert (scene[2] == 0).all()
    far = cv2.dilate(pasted, np.ones((21, 21), np.uint8)) == 0
    assert (pre[far] == 50).all()
    assert (post[far] == 60).all()


def test_nothing_is_pasted_without_a_whole_building() -> None:
    scene = (np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8))
    for rows in (slice(0, 0), slice(5, 24)):
        labels = np.zeros((24, 24), np.uint8)
        labels[rows, 8:16] = 4
        donor = (np.full((24, 24, 3), 200, np.uint8), np.full((24, 24, 3), 10, np.uint8), labels)
        assert paste_building(np.random.default_rng(0), scene, donor, 4) is scene


def test_what_lies_around_a_pasted_building_comes_with_it() -> None:
    scene = (np.zeros((40, 40, 3), np.uint8),) * 2 + (np.zeros((40, 40), np.uint8),)
    labels = np.zeros((32, 32), np.uint8)
    labels[12:20, 12:20] = 4
    donor = (np.full((32, 32, 3), 200, np.uint8),) * 2 + (labels,)
    copied = [
        int((paste_building(np.random.default_rng(0), scene, donor, around)[0][..., 0] > 100).sum())
        for around in (0, 2, 4)
    ]
    assert copied[0] < copied[1] < copied[2]


def test_pasting_brings_rare_classes() -> None:
    """Crops of 96 pixels around a town of 64, mirrored: with pasting there is more destruction."""
    plain, pasted = (
        sum((sampler(draw=Draw(96, 8, unchanged=0, pasted=share)).batch(step).labels == 4).mean() for step in range(3))
        for share in (0.0, 1.0)
    )
    assert pasted > plain


def test_rare_classes_are_sought() -> None:
    batch = sampler(draw=Draw(24, 16, anywhere=0.0)).batch(0)
    shown = [(labels == 4).any() for labels in batch.labels]
    assert 0.3 < np.mean(shown) < 1


def test_light_and_degradation_keep_type_and_shape() -> None:
    rng = np.random.default_rng(0)
    image = load_tile(Town(), 1).pre
    for _ in range(30):
        pre, post = augment.relight(rng, image, image)
        degraded = augment.degrade(rng, post)
        assert pre.dtype == degraded.dtype == np.uint8
        assert pre.shape == degraded.shape == image.shape


def test_tile_is_averaged_like_the_served_graph() -> None:
    town = Town()
    tile = load_tile(town, 2)
    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(town.read_pre()).permute(2, 0, 1).float(), 2)
    assert np.abs(tile.pre.astype(float) - pooled.permute(1, 2, 0).numpy()).max() <= 0.5
    assert tile.labels.shape == (32, 32)
    np.testing.assert_allclose(tile.buildings[1], [(6.5, 6.5)])


def test_importance_falls_with_the_root_of_the_area() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[:2, :2], labels[10:14, 10:14], labels[17:, 17:] = 1, 2, 255
    weights = importance(labels)
    assert weights[0, 0] == pytest.approx(2 * weights[11, 11])
    assert weights[18, 18] == 0
    assert weights[5, 5] == 0


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        Sampler([], [], Draw(32, 2), 0)


def test_normalise_uses_imagenet_constants() -> None:
    batch = normalise(np.full((1, 2, 2, 3), 255, np.uint8), "cpu")
    np.testing.assert_allclose(batch[0, :, 0, 0], [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], 1e-5)


def test_only_the_post_image_is_tinted() -> None:
    images = {role: np.zeros((1, 2, 2, 3), np.uint8) for role in ("pre", "post")}
    pre, post = network_inputs(images, "siamunet", Framing(post_tint=(1.0, 0.0, -1.0)), "cpu")
    np.testing.assert_allclose((post - pre)[0, :, 0, 0], [1, 0, -1], atol=1e-6)


def test_one_cycle_rises_and_falls() -> None:
    rates = [learning_rate(1e-3, "one-cycle", progress / 100) for progress in range(101)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == 3
    assert rates[100] == pytest.approx(0, abs=1e-9)
    assert learning_rate(1e-3, "constant", 0.9) == 1e-3


@pytest.mark.parametrize("network", ["fcn", "siamunet"])
def test_a_step_on_the_same_batch_lowers_the_loss(network: str) -> None:
    run = PairRun(replace(TINY, network=network, width=0.1, learning_rate=3e-3, steps=100), RunOptions())
    batch = sampler().batch(0)
    losses = [sum(run.learn(batch).values()) for _ in range(60)]
    assert np.median(losses[-5:]) < 0.8 * losses[0]


def test_run_leaves_checkpoint_history_and_curves(data: Path, tmp_path: Path) -> None:
    path = loop.train(TINY, data, tmp_path / "out", RunOptions(seed=5))
    checkpoint = read_checkpoint(path)
    checkpoint.network()
    assert (checkpoint.architecture, checkpoint.recipe, checkpoint.steps, checkpoint.seed) == ("siamunet", "tiny", 6, 5)
    assert checkpoint.data == "2 xBD pairs (2 storm)"
    assert checkpoint.hyperparameters["crop"] == 32
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert history[-1]["step"] == 6
    assert 0 <= history[-1]["xView2 score"] <= 1
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = read_checkpoint(loop.train(TINY, data, tmp_path / "whole", RunOptions()))
    learn = PairRun.learn

    def killed(run: PairRun, batch: Batch) -> dict[str, float]:
        if run.step == 4:
            raise KeyboardInterrupt
        return learn(run, batch)

    monkeypatch.setattr(PairRun, "learn", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.train(TINY, data, tmp_path / "killed", RunOptions())
    monkeypatch.undo()
    resumed = read_checkpoint(loop.train(TINY, data, tmp_path / "killed", RunOptions()))
    assert resumed.steps == undisturbed.steps
    for name, weight in undisturbed.state_dict.items():
        torch.testing.assert_close(resumed.state_dict[name], weight, rtol=0, atol=0)


def test_workers_make_the_batches_that_a_thread_makes(data: Path, tmp_path: Path) -> None:
    alone, shared = (
        read_checkpoint(loop.train(TINY, data, tmp_path / str(workers), RunOptions(workers=workers)))
        for workers in (0, 2)
    )
    assert shared.steps == alone.steps
    for name, weight in alone.state_dict.items():
        torch.testing.assert_close(shared.state_dict[name], weight, rtol=0, atol=0)


def test_resuming_with_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    loop.train(TINY, data, tmp_path, RunOptions())
    with pytest.raises(ValueError, match="another recipe"):
        loop.train(replace(TINY, learning_rate=1e-4), data, tmp_path, RunOptions())
    loop.train(replace(TINY, learning_rate=1e-4), data, tmp_path, RunOptions(resume=False))


def test_time_ends_a_run(data: Path, tmp_path: Path) -> None:
    path = loop.train(replace(TINY, steps=10**9), data, tmp_path, RunOptions(minutes=1e-3))
    assert 0 < read_checkpoint(path).steps < 10**6


def test_drawn_scenes_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 64)
    path = loop.train(replace(TINY, network="fcn", scenes=2), None, tmp_path, RunOptions())
    assert read_checkpoint(path).data == "2 drawn scenes"


@pytest.mark.parametrize("network", ["fcn", "siamunet"])
@pytest.mark.parametrize("name", ["paper", "demo"])
def test_recipes_build_what_they_name(network: str, name: str) -> None:
    found = recipe_of(network, name)
    assert (found.network, found.name) == (network, name)
    assert all(math.isfinite(value) for value in found.hyperparameters().values() if isinstance(value, float))


def test_paper_recipe_of_the_fcn_is_the_papers() -> None:
    paper = recipe_of("fcn", "paper")
    assert (paper.width, paper.learning_rate, paper.draw.batch, paper.schedule) == (1.0, 1e-6, 16, "constant")


@pytest.mark.parametrize("network", ["fcn", "siamunet"])
def test_demo_recipes_keep_to_half_an_hour(network: str) -> None:
    minutes = recipe_of(network, "demo").minutes
    assert minutes is not None
    assert minutes <= 30


def test_unknown_recipe_is_named() -> None:
    with pytest.raises(ValueError, match=r"'quick'.*fcn paper"):
        recipe_of("fcn", "quick")


def test_states_of_former_runs_are_gone_on_from(tmp_path: Path) -> None:
    """Recipes had other names and another order of fields; what they chose is what counts."""
    run = PairRun(TINY, RunOptions())
    former = (
        "Recipe(network='siamunet', name='tiny', width=0.05, reduction=1, draw=Draw(crop=32, batch=2, anywhere=0.35, "
        "drawn=0.15, unchanged=0.05, swapped=0.0, pasted=0.0, shift=1.0), steps=6, learning_rate={}, minutes=None, "
        "weight_decay=0.0, schedule='constant', average=0.9, class_weights=(1.0, 1.0, 1.0, 1.0), scenes=0, "
        "threshold=0.5, normalised=False, post_tint=(0.0, 0.0, 0.0))"
    )
    run.save(tmp_path / "last.pt")
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save({**state, "recipe": former.format(0.001)}, tmp_path / "former.pt")
    torch.save({**state, "recipe": former.format(0.002)}, tmp_path / "other.pt")
    run.load(tmp_path / "former.pt")
    with pytest.raises(ValueError, match="another recipe"):
        run.load(tmp_path / "other.pt")
