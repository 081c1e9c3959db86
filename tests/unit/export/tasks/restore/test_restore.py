"""From pairs and photographs to a served model that takes off clouds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from maskgate_client.scenes import draw_scene
from torch import nn

from export.build import build
from export.errors import DataError
from export.evaluation.compare import compare
from export.evaluation.opened import of_file, open_models
from export.networks import build_network
from export.networks.pix2pix import LAYOUTS, Discriminator, Generator
from export.registry import TASKS, specs_of
from export.tasks.restore import data, train
from export.tasks.restore.data import VALIDATION_SCENES, drawn, read_grounds
from export.tasks.restore.evaluate import LEAVE_IT, TRIVIAL, evaluate
from export.tasks.restore.recipe import RestoreRecipe
from export.tasks.restore.samples import Draw, Sampler, load
from export.tasks.restore.train import RestoreRun
from export.training.recipe import RunOptions, recipe_of
from export.verify import verify, verify_source
from gateway.repository.store import scan

pytestmark = [pytest.mark.processors, pytest.mark.training]

TINY = RestoreRecipe(
    network="pix2pix",
    name="tiny",
    width=1 / 16,
    depths="unet32",
    size=64,
    draw=Draw(4, 64),
    scenes=0,
    steps=3,
    learning_rate=1e-3,
    momentum=0.5,
    judged=2,
)


def size(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def test_both_networks_have_the_documented_number_of_parameters() -> None:
    """Beside what pix2pix draws, the generator's last layer says how much is covered: 16 weights a channel, a bias."""
    with torch.device("meta"):
        generator, demo = build_network("pix2pix"), build_network("pix2pix", 0.25, "unet32")
        assert size(generator) == 54_413_955 + 128 * 16 + 1
        assert size(Discriminator()) == 2_768_705
        assert size(Discriminator(0.25)) == 176_081
    assert isinstance(generator, Generator)
    assert (generator.multiple, size(demo)) == (256, 454_052)
    assert recipe_of("pix2pix", "demo").depths == "unet32"


@pytest.mark.parametrize("layout", ["unet256", "unet32"])
def test_ground_without_cover_stays_as_it_is_and_covered_ground_may_become_anything(layout: str) -> None:
    network = Generator(1 / 16, LAYOUTS[layout]).eval()
    images = torch.rand(2, 3, network.multiple, 2 * network.multiple) * 2 - 1
    with torch.no_grad():
        network.head.weight.zero_()
        assert network.head.bias is not None
        network.head.bias.copy_(torch.tensor([9.0, 9.0, 9.0, -99.0]))
        found, cover = network(images)
        assert (found.shape, cover.shape) == (images.shape, (2, 1, *images.shape[2:]))
        torch.testing.assert_close(found, images)
        network.head.bias.copy_(torch.tensor([9.0, -9.0, 0.0, 99.0]))
        changed = network(images)[0] - images
    expected = torch.tensor([2.0, -2.0, 0.0]).view(1, 3, 1, 1).expand_as(changed)
    torch.testing.assert_close(changed, expected, atol=1e-4, rtol=0)


def test_pairs_and_photographs_are_read(grounds: Path) -> None:
    found = read_grounds(grounds)
    assert Counter((each.source, each.split) for each in found) == {
        ("thin", "train"): 4, ("thin", "val"): 1, ("thick", "train"): 4, ("thick", "val"): 1,
        ("drawn", "train"): 2, ("drawn", "val"): 2,
    }  # fmt: skip
    for ground in found:
        clouded, clear = ground.read_clouded(), ground.read_clear()
        assert clouded.image.shape == clear.shape
        assert clouded.cover.shape == clear.shape[:2]
        np.testing.assert_array_equal(clouded.image, ground.read_clouded().image)
    assert max(found[-1].read_clear().shape) == 512, "larger photographs are reduced"
    thick = next(each for each in found if each.source == "thick").read_clouded()
    assert thick.cover[40, 50] > 200
    assert thick.cover[5, 5] == 0
    with pytest.raises(DataError, match="holds none of"):
        read_grounds(grounds / "cloud_rice")


def test_samples_are_repeatable_and_of_every_source(grounds: Path) -> None:
    seen = [load(each) for each in read_grounds(grounds) if each.split == "train"]
    sampler = Sampler(seen, Draw(16, 64), seed=3)
    one, again = sampler.batch(5), sampler.batch(5)
    for part in ("cloudy", "clear", "cover"):
        np.testing.assert_array_equal(getattr(one, part), getattr(again, part))
    assert (one.cloudy.shape, one.clear.shape, one.cover.shape) == ((16, 64, 64, 3), (16, 64, 64, 3), (16, 64, 64))
    change = np.abs(one.cloudy.astype(int) - one.clear).max(axis=-1)
    assert (change[one.cover == 0] <= 24).all()
    assert change[one.cover > 220].min(initial=255) > 16
    none = Sampler(seen, Draw(8, 64, thin=0, thick=0, uncovered=1.0), seed=0).batch(0)
    assert not none.cover.any()
    np.testing.assert_array_equal(none.cloudy, none.clear)
    with pytest.raises(ValueError, match="nothing to train on"):
        Sampler([], Draw(1, 64), seed=0)


def test_a_resumed_run_goes_on_with_both_networks_as_they_were(grounds: Path, tmp_path: Path) -> None:
    seen = [load(each) for each in read_grounds(grounds) if each.split == "train"]
    sampler = Sampler(seen, TINY.draw, seed=0)
    whole = RestoreRun(TINY, RunOptions())
    for step in range(3):
        whole.learn(sampler.batch(step))
    begun = RestoreRun(TINY, RunOptions())
    begun.learn(sampler.batch(0))
    begun.save(tmp_path / "last.pt")
    resumed = RestoreRun(TINY, RunOptions(seed=5))
    resumed.load(tmp_path / "last.pt")
    for step in range(1, 3):
        losses = resumed.learn(sampler.batch(step))
    assert losses.keys() == {"adversarial", "pixels", "cover"}
    for pair in ((whole.network, resumed.network), (whole.rival, resumed.rival), (whole.average, resumed.average)):
        for one, other in zip(*(each.state_dict().values() for each in pair), strict=True):
            torch.testing.assert_close(one, other)


def test_the_generator_learns_where_clouds_are_and_what_they_hide(grounds: Path) -> None:
    seen = [load(each) for each in read_grounds(grounds) if each.split == "train"]
    recipe = RestoreRecipe(**{**vars(TINY), "steps": 60, "learning_rate": 5e-3, "cover": 20.0})
    run, sampler = RestoreRun(recipe, RunOptions()), Sampler(seen, recipe.draw, seed=0)
    losses = [run.learn(sampler.batch(step)) for step in range(60)]
    for name in ("pixels", "cover"):
        assert np.mean([loss[name] for loss in losses[-10:]]) < 0.8 * np.mean([loss[name] for loss in losses[:10]])


@pytest.fixture
def small_scenes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """A drawn scene of full size takes a second."""
    small = partial(draw_scene, size=128)
    monkeypatch.setattr(data, "draw_scene", small)
    return small


@pytest.mark.usefixtures("small_scenes")
def test_drawn_scenes_have_clouds_of_every_kind() -> None:
    learnt, *held = drawn(1)
    assert (learnt.split, [each.split for each in held]) == ("train", ["val"] * VALIDATION_SCENES)
    assert learnt.read_clouded().image.shape == learnt.read_clear().shape == (128, 128, 3)


@pytest.mark.usefixtures("small_scenes")
def test_a_network_is_trained_built_verified_measured_and_compared(grounds: Path, tmp_path: Path) -> None:
    file = train.train(TINY, grounds, tmp_path / "run", RunOptions())
    root = tmp_path / "models"
    [folder] = build(file, specs_of("pix2pix"), root)
    repository = scan(root)
    card = repository.models["restore-gan"].card
    assert card.training.data == ("4 pairs with thin clouds, 4 pairs with thick clouds, 2 images under drawn clouds")
    assert card.training.hyperparameters["momentum"] == 0.5
    assert (card.classes, card.threshold, card.overlap) == ((), None, 16)
    assert verify_source(repository, file) == ()
    assert verify(repository) == ()
    report = evaluate(open_models([folder]), grounds, "val")
    [figures] = report.figures.values()
    assert figures.images == 4 + VALIDATION_SCENES
    assert figures.baseline_name == LEAVE_IT
    assert {f"{source}_psnr" for source in ("thin", "thick", "drawn")} <= figures.metrics.keys()
    assert figures.metrics.keys() == figures.baseline.keys()
    assert all(name in report.text for name in (*TRIVIAL, "thick_clouded_ssim"))
    found = compare(TASKS["restore"], repository, [("tiny", of_file(file, exported=True))], grounds, "val")
    assert [row.name for row in found.rows] == ["restore-gan", "restore-gan (tiny)", *TRIVIAL]
    assert found.rows[0].metrics["thin_ssim"] == pytest.approx(found.rows[1].metrics["thin_ssim"], abs=0.02)


def test_the_real_samples_are_read(roadmap_samples: Path) -> None:
    found = read_grounds(roadmap_samples)
    assert Counter((each.source, each.split) for each in found if each.source != "drawn") == {
        ("thin", "train"): 32, ("thin", "val"): 8, ("thick", "train"): 48, ("thick", "val"): 12,
    }  # fmt: skip
    seen = load(found[0])
    assert seen.cloudy is not None
    assert seen.clear.shape == seen.cloudy.shape == (256, 256, 3)
