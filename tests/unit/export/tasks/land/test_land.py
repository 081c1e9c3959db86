"""From images labelled for one class each to a served model of land cover."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from maskgate_client.scenes import draw_cover, draw_scene

from export.build import build
from export.errors import DataError
from export.evaluation.opened import open_models
from export.networks import build_network
from export.networks.hrnet import LAYOUTS, HRNet
from export.registry import specs_of
from export.tasks.land import data, train
from export.tasks.land.data import (
    BLANK,
    BUILDING,
    ROAD,
    TREE,
    UNKNOWN,
    VALIDATION_SCENES,
    but,
    drawn,
    only,
    read_grounds,
)
from export.tasks.land.evaluate import evaluate, metrics, trivial
from export.tasks.land.recipe import LandRecipe
from export.tasks.land.samples import Draw, Sampler, Seen, load
from export.tasks.land.spec import LAND_CLASSES
from export.tasks.land.train import likelihood_loss
from export.training.recipe import RunOptions
from export.verify import verify, verify_source
from gateway.repository.store import scan

pytestmark = [pytest.mark.processors, pytest.mark.training]

TINY = LandRecipe(
    network="land_hrnet",
    name="tiny",
    width=1 / 4,
    depths="w18-small",
    size=64,
    draw=Draw(4, 64),
    scenes=0,
    steps=2,
    learning_rate=1e-3,
)
TINY_LITE0 = replace(TINY, network="land_lite0", depths=None)


@pytest.mark.parametrize(
    ("layout", "width", "classes", "parameters"),
    [
        ("w32", 1.0, 7, 29_540_743),
        ("w32", 1.0, 5, 29_539_781),
        ("w18-small", 1.0, 7, 1_920_755),
        ("w18-small", 0.6, 5, 717_853),
    ],
)
def test_the_network_has_the_documented_number_of_parameters(
    layout: str, width: float, classes: int, parameters: int
) -> None:
    """With seven classes it is LoveDA's."""
    with torch.device("meta"):
        network = HRNet(width, LAYOUTS[layout], classes=classes)
        ours = build_network("land_hrnet", width, layout)
    assert sum(each.numel() for each in network.parameters()) == parameters
    assert isinstance(ours, HRNet)
    assert ours.head.out_channels == len(LAND_CLASSES)


def test_each_source_says_what_it_knows(grounds: Path) -> None:
    found = read_grounds(grounds)
    counted = Counter((each.source, each.split) for each in found)
    assert counted == {
        ("roads", "train"): 4, ("roads", "val"): 1, ("trees", "train"): 4, ("trees", "val"): 1,
        ("buildings", "train"): 1, ("buildings", "val"): 1,
    }  # fmt: skip
    by_name = {each.name: each for each in found}
    road = by_name["r0"].read_labels()
    assert set(np.unique(road)) == {only(ROAD), but(ROAD), BLANK}
    assert (road[78:94, 78:94] == BLANK).all(), "white without imagery"
    plot, closed = by_name["t1"].read_labels(), by_name["t0"].read_labels()
    wild = but(BUILDING, ROAD)
    assert (plot[200, 200], plot[0, 0], plot[200, 132]) == (only(TREE), wild & but(TREE), wild)
    assert (closed[200, 200], closed[0, 0]) == (only(TREE), wild)
    assert set(np.unique(by_name["b0"].read_labels())) == {only(BUILDING), but(BUILDING)}
    assert load(by_name["t1"]).image.shape == (40, 40, 3), "seen at a metre a pixel"
    assert load(by_name["b0"]).labels.shape == (64, 64)
    with pytest.raises(DataError, match="holds none of"):
        read_grounds(grounds / "trees_neon")


@pytest.fixture
def small_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn scene of full size takes a second."""
    for name, draw in (("draw_scene", draw_scene), ("draw_cover", draw_cover)):
        monkeypatch.setattr(data, name, partial(draw, size=128))


@pytest.mark.usefixtures("small_scenes")
def test_drawn_scenes_know_all_classes() -> None:
    learnt, *held = drawn(1)
    assert (learnt.split, [each.split for each in held]) == ("train", ["val"] * VALIDATION_SCENES)
    image, labels = learnt.read_image(), learnt.read_labels()
    assert image.shape == (*labels.shape, 3)
    assert set(np.unique(labels)) >= {only(0), only(ROAD), only(TREE)}
    # A crown is green and dark, asphalt grey.
    tree, road = (np.median(image[labels == only(value)].astype(int), axis=0) for value in (TREE, ROAD))
    assert tree.sum() < road.sum()
    assert np.ptp(road) < 30


def test_samples_are_repeatable_and_of_every_source(grounds: Path) -> None:
    seen = [load(each) for each in read_grounds(grounds) if each.split == "train"]
    sampler = Sampler(seen, Draw(12, 64), seed=3)
    one, again = sampler.batch(5), sampler.batch(5)
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert (one.images.shape, one.labels.shape) == ((12, 64, 64, 3), (12, 64, 64))
    assert {but(ROAD), but(BUILDING), only(ROAD), only(BUILDING)} <= set(np.unique(one.labels).tolist())
    with pytest.raises(ValueError, match="nothing to train on"):
        Sampler([], Draw(1, 64), seed=0)


def test_where_imagery_ends_nothing_is_named() -> None:
    seen = [Seen(np.full((96, 96, 3), 120, np.uint8), np.full((96, 96), but(ROAD), np.uint8), "roads")]
    batch = Sampler(seen, Draw(16, 64, blank=1.0), seed=1).batch(0)
    blank = batch.labels == BLANK
    assert (blank.mean(axis=(1, 2)) > 0.01).all()
    assert ((batch.labels == but(ROAD)) | blank).all()
    assert blank.mean() < 0.5
    # What is left of the photograph is neither white nor black but for haze and shade.
    far = [np.median(image[at]) for image, at in zip(batch.images, blank, strict=True)]
    assert {round(value / 255) for value in far} == {0, 1}
    assert abs(float(np.median(batch.images[~blank])) - 120) < 60


def test_anything_but_a_class_costs_only_what_is_given_to_it() -> None:
    logits = torch.zeros(1, 5, 1, 2)
    logits[0, ROAD, 0, 0], logits[0, TREE, 0, 1] = 20.0, 20.0
    weights = (1.0,) * 5

    def loss(*labels: int) -> float:
        return float(likelihood_loss(logits, torch.tensor([[labels]]), weights))

    assert loss(only(ROAD), only(TREE)) < 1e-6
    assert loss(but(TREE), but(ROAD)) < 1e-6, "whichever other class it is"
    assert loss(but(ROAD), only(TREE)) == pytest.approx(10, abs=1)
    assert loss(but(ROAD, BUILDING), only(TREE)) == pytest.approx(10, abs=1)
    assert loss(UNKNOWN, only(TREE)) < 1e-6, "what is unknown counts for nothing"
    assert loss(only(TREE), UNKNOWN) == pytest.approx(20, abs=0.1)
    flat = torch.zeros(1, 5, 1, 1)
    for label, allowed in ((but(ROAD), 4), (but(ROAD, TREE), 3), (only(ROAD), 1)):
        found = float(likelihood_loss(flat, torch.tensor([[[label]]]), weights))
        assert found == pytest.approx(-np.log(allowed / 5), rel=1e-5)


def test_figures_are_of_what_each_source_knows() -> None:
    unbuilt = np.array([[30, 10], [0, 0]])
    counts = {"roads": np.array([[80, 10], [5, 5]]), "unbuilt": unbuilt, "drawn": np.diag([6, 1, 1, 1, 1])}
    found, baseline = metrics(counts), metrics({source: trivial(source, each) for source, each in counts.items()})
    assert found["road_iou"] == pytest.approx(5 / 20)
    assert found["road_precision"] == pytest.approx(1 / 3)
    assert found["road_recall"] == pytest.approx(0.5)
    assert found["drawn_miou"] == found["drawn_open_ground_iou"] == 1.0
    assert found["unbuilt_called_building"] == pytest.approx(1 / 4)
    assert baseline["road_iou"] == pytest.approx(0.1)
    assert baseline["unbuilt_called_building"] == 1.0
    assert baseline["drawn_miou"] == pytest.approx(0.6 / 5)


@pytest.mark.usefixtures("small_scenes")
@pytest.mark.parametrize("tiny", [TINY, TINY_LITE0], ids=["land_hrnet", "land_lite0"])
def test_a_network_is_trained_built_verified_and_measured(tiny: LandRecipe, grounds: Path, tmp_path: Path) -> None:
    file = train.train(tiny, grounds, tmp_path / "run", RunOptions())
    root = tmp_path / "models"
    [folder] = build(file, specs_of(tiny.network), root)
    repository = scan(root)
    [(name, model)] = repository.models.items()
    assert name == tiny.network.replace("_", "-")
    assert model.card.training.data == "4 images of roads, 4 images of trees, 1 images of buildings"
    assert verify_source(repository, file) == ()
    assert verify(repository) == ()
    [figures] = evaluate(open_models([folder]), grounds, "val").figures.values()
    assert figures.images == 3 + VALIDATION_SCENES
    assert np.sum(figures.confusion) == VALIDATION_SCENES * 128**2
    assert {"road_iou", "tree_iou", "building_iou"} <= figures.metrics.keys() == figures.baseline.keys()


def test_the_real_samples_are_read(roadmap_samples: Path) -> None:
    found = read_grounds(roadmap_samples)
    assert Counter((each.source, each.split) for each in found if each.source != "buildings") == {
        ("roads", "train"): 13, ("roads", "val"): 3, ("trees", "train"): 26, ("trees", "val"): 6,
    }  # fmt: skip
    seen: Seen = load(next(each for each in found if each.source == "roads"))
    assert 0.01 < (seen.labels == only(ROAD)).mean() < 0.2
