"""Boxes: the network's sizes, who answers for what, average precision, and the way from training to an answer."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch.utils.flop_counter import FlopCounterMode

from export.build import build
from export.checkpoints.files import read_checkpoint
from export.cli import main
from export.networks import build_network
from export.networks.yolox import cells
from export.registry import CATALOG
from export.tasks.damage.boxes.data import Truth, read_numbered, read_truth
from export.tasks.damage.boxes.evaluate import measure
from export.tasks.damage.boxes.metrics import average_precision, metrics
from export.tasks.damage.boxes.recipe import BoxRecipe
from export.tasks.damage.boxes.samples import Draw, Sampler
from export.tasks.damage.boxes.train import BoxRun, assign, overlaps, train
from export.tasks.damage.data import read_pairs
from export.training.recipe import RunOptions, recipe_of
from export.verify import verify, verify_source
from gateway.app import create_app
from gateway.repository.store import scan
from gateway.settings import Settings
from gateway.tasks.damage.boxes import Found
from tests.support.app_client import running
from tests.support.checkpoints import small_entry, width_of, write
from tests.support.pictures import encode, noise
from tests.unit.export.tasks.damage.test_training import Town

pytestmark = pytest.mark.processors

TINY = BoxRecipe(
    network="yolox",
    name="tiny",
    width=1 / 16,
    depths="plain",
    draw=Draw(64, 2, drawn=0.0, unchanged=0.0),
    steps=4,
    learning_rate=3e-3,
    average=0.8,
    scenes=1,
    threshold=0.001,
)
TINY_LITE0 = replace(TINY, network="yolox_lite0", depths=None)
BOTH = pytest.mark.parametrize(
    ("tiny", "name"), [(TINY, "bd-yolox"), (TINY_LITE0, "bd-yolo")], ids=["yolox", "yolox_lite0"]
)


@pytest.mark.parametrize(
    ("width", "depths", "parameters", "billions"),
    [(1.0, "plain", 8_942_299, 8.71), (0.75, "plain", 5_036_331, 4.99), (0.5, "depthwise", 899_067, 0.88)],
)
def test_widths_have_the_documented_sizes_and_costs(
    width: float, depths: str, parameters: int, billions: float
) -> None:
    with torch.device("meta"):
        network = build_network("yolox", width, depths).eval()
        pair = torch.empty(2, 1, 3, 512, 512)
    assert sum(p.numel() for p in network.parameters()) == parameters
    with FlopCounterMode(display=False) as counter:
        network(*pair)
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, abs=0.05)


@pytest.mark.parametrize("network", ["yolox", "yolox_lite0"])
def test_the_small_ones_fit_into_five_megabytes(network: str) -> None:
    demo = recipe_of(network, "demo")
    with torch.device("meta"):
        built = build_network(network, demo.width, demo.depths)
    assert 2 * sum(p.numel() for p in built.parameters()) < 5e6, "two bytes each"


def test_cells_lie_in_their_middles_row_by_row() -> None:
    middles, strides = cells(64, 96)
    assert len(middles) == len(strides) == 96 + 24 + 6
    assert middles[[0, 1, 12, 96, -1]].tolist() == [[4, 4], [12, 4], [4, 12], [8, 8], [80, 48]]
    assert strides[[0, 96, -1]].tolist() == [8, 16, 32]


def test_each_building_is_answered_for_nearby_and_by_nobody_twice() -> None:
    torch.manual_seed(0)
    middles, strides = cells(64, 64)
    boxes, grades = torch.tensor([[8.0, 8, 24, 24], [20, 8, 36, 24], [40, 40, 62, 62]]), torch.tensor([0, 3, 1])
    answer = torch.cat([middles, 16 + torch.rand(len(middles), 2), torch.randn(len(middles), 5)], dim=1)
    answering, whose = assign(answer, boxes, grades, middles, strides)
    assert len(set(answering.tolist())) == len(answering)
    assert set(whose.tolist()) == {0, 1, 2}
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert ((middles[answering] - centres[whose]).abs() < 1.5 * strides[answering, None]).all()


def test_overlap_is_that_of_areas() -> None:
    one, other = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 0, 6, 4], [0, 0, 4, 4], [4, 4, 8, 8]])
    torch.testing.assert_close(overlaps(one, other), torch.tensor([[1 / 3, 1.0, 0.0]]))


def test_average_precision_is_cocos() -> None:
    """Crowded towns of random boxes, some shifted, some of the wrong class; a fifth of the buildings un-classified."""
    rng = np.random.default_rng(0)
    found, truths = zip(*(_town(rng, buildings) for buildings in (160, 30, 0, 7)), strict=True)
    ours = metrics(found, truths)
    theirs = {value: _coco(found, truths, value) for value in (1, 2, 3, 4)}
    assert all(0.02 < value < 0.98 for value in theirs.values())
    names = ("no-damage", "minor-damage", "major-damage", "destroyed")
    for name, expected in zip(names, theirs.values(), strict=True):
        assert ours[f"{name}_ap50"] == pytest.approx(expected, abs=1e-6)
    assert ours["map50"] == pytest.approx(np.mean(list(theirs.values())), abs=1e-6)
    assert ours["building_ap50"] == pytest.approx(_coco(found, truths, None), abs=1e-6)


def test_perfect_boxes_of_two_hundred_buildings_are_worth_one() -> None:
    corners = np.stack(np.meshgrid(np.arange(20), np.arange(10)), axis=-1).reshape(-1, 2) * 20.0
    truth = Truth(np.concatenate([corners, corners + 12], axis=1), np.arange(200, dtype=np.uint8) % 4 + 1)
    scores = np.eye(4, dtype=np.float32)[truth.values - 1]
    perfect = Found(truth.boxes.astype(np.float32), scores)
    assert set(metrics([perfect], [truth]).values()) == {1.0}
    figures = measure([perfect], [truth], "val", 0.5)
    assert np.trace(np.array(figures.confusion)) == 200
    # Where nothing is graded the boxes are as good, and three classes are worth nothing.
    assert (figures.baseline["building_ap50"], figures.baseline["destroyed_ap50"]) == (1.0, 0.0)
    assert average_precision([Found(perfect.boxes[:0], perfect.scores[:0])], [truth], 1) == 0.0


def test_buildings_are_read_as_boxes_and_stay_on_them_in_crops(tmp_path: Path) -> None:
    truth = read_truth(Town())
    assert sorted(map(tuple, truth.boxes.tolist())) == [(8, 8, 20, 20), (30, 36, 40, 52)]
    assert sorted(truth.values.tolist()) == [1, 4]
    batch = Sampler([read_numbered(Town())], [], replace(TINY.draw, batch=6, crop=96), 0).batch(0)
    again = Sampler([read_numbered(Town())], [], replace(TINY.draw, batch=6, crop=96), 0).batch(0)
    assert (batch.pre == again.pre).all()
    assert sum(len(each.boxes) for each in batch.truths) >= 6
    for image, each in zip(batch.pre, batch.truths, strict=True):
        for x0, y0, x1, y1 in each.boxes.round().astype(int):
            middle = image[(y0 + y1) // 2, (x0 + x1) // 2].astype(int).sum()
            assert middle > image.reshape(-1, 3).astype(int).sum(axis=1).mean()


@pytest.mark.parametrize("tiny", [TINY, TINY_LITE0], ids=["yolox", "yolox_lite0"])
def test_steps_on_the_same_batch_lower_the_loss(tiny: BoxRecipe) -> None:
    run = BoxRun(replace(tiny, width=1 / 8, learning_rate=5e-3), RunOptions())
    batch = Sampler([read_numbered(Town())], [], TINY.draw, 0).batch(0)
    losses = [sum(run.learn(batch).values()) for _ in range(30)]
    assert min(losses[-5:]) < 0.85 * losses[0]


def test_a_run_begins_with_the_encoder_of_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 64)
    begun = write(tmp_path / "begun.pt", "siamese_lite0")
    still = replace(TINY_LITE0, width=width_of("siamese_lite0"), fixed_levels=4, steps=1)
    path = train(still, None, tmp_path / "run", RunOptions(), begun)
    ours, theirs = read_checkpoint(path), read_checkpoint(begun)
    assert "tensors of siamese_lite0" in str(ours.hyperparameters["started_from"])
    encoder = [name for name in theirs.state_dict if name.startswith("lite0.")]
    assert all(torch.equal(ours.state_dict[name], theirs.state_dict[name]) for name in encoder)


@BOTH
def test_a_trained_network_is_built_verified_measured_and_served(
    tiny: BoxRecipe, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 64)
    monkeypatch.setitem(CATALOG, name, small_entry(name))
    source, root = train(tiny, None, tmp_path / "run", RunOptions()), tmp_path / "repository"
    build(source, [CATALOG[name]], root)
    repository = scan(root)
    assert verify(repository) == ()
    assert verify_source(repository, source) == ()
    data = _folder(tmp_path / "data")
    assert main(["evaluate", str(root / name), "--data", str(data), "--out", str(tmp_path / "figures.json")]) == 0
    assert "building_ap50" in capsys.readouterr().out
    pairs = read_pairs(data)
    assert len(read_truth(pairs[0]).boxes) == 2
    files = {role: (role, encode(noise(100, 80, seed=seed))) for seed, role in enumerate(("pre", "post"))}
    with running(create_app(Settings(models={"repository": root, "damage": name}))) as client:
        answer = client.post("/v1/damage", files=files, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == name


def _folder(root: Path) -> Path:
    """Return an xBD folder with one pair, which validates."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    town, tile = Town(), "storm_00000000"
    for when, image in (("pre", town.read_pre()), ("post", town.read_post())):
        cv2.imwrite(str(root / "images" / f"{tile}_{when}_disaster.png"), image)
    cv2.imwrite(str(root / "masks" / f"{tile}_post_disaster.png"), town.read_labels())
    (root / "manifest.csv").write_text(f"tile,split,event,image_format\n{tile},val,storm,png\n")
    return root


def _town(rng: np.random.Generator, buildings: int) -> tuple[Found, Truth]:
    """Return so many true buildings, and boxes of most of them and of some things that are none, the surest first."""
    corners, sizes = rng.uniform(0, 900, (buildings, 2)), rng.uniform(10, 60, (buildings, 2))
    values = rng.choice([1, 2, 3, 4, 255], buildings).astype(np.uint8)
    truth = Truth(np.concatenate([corners, corners + sizes], axis=1), values)
    shifted = truth.boxes + rng.normal(0, 3, truth.boxes.shape)
    shifted = shifted[rng.random(buildings) < 0.8]
    stray = rng.uniform(0, 900, (12, 2))
    boxes = np.concatenate([shifted, np.concatenate([stray, stray + 30], axis=1)]).astype(np.float32)
    given = np.concatenate([values[: len(shifted)] % 4, rng.integers(0, 4, 12)])
    scores = rng.uniform(0.1, 0.4, (len(boxes), 4)).astype(np.float32)
    scores[np.arange(len(boxes)), given] += rng.uniform(0.1, 0.6, len(boxes)).astype(np.float32)
    order = np.argsort(-scores.max(axis=1))
    return Found(boxes[order], scores[order]), truth


def _coco(found: tuple[Found, ...], truths: tuple[Truth, ...], value: int | None) -> float:
    """Return what pycocotools says of a class, or of any building; un-classified ones are a crowd to every class."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (each, truth) in enumerate(zip(found, truths, strict=True), 1):
        for box, label in zip(truth.boxes, truth.values, strict=True):
            crowd = value is not None and label == 255
            if value is None or label == value or crowd:
                width, height = box[2:] - box[:2]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": 1,
                        "bbox": [*box[:2], width, height],
                        "area": width * height,
                        "iscrowd": int(crowd),
                    }
                )
        for box, scores in zip(each.boxes.astype(float), each.scores, strict=True):
            if value is None or scores.argmax() == value - 1:
                bbox = [*box[:2], *(box[2:] - box[:2])]
                results.append({"image_id": image, "category_id": 1, "bbox": bbox, "score": float(scores.max())})
    truth_set, images = COCO(), [{"id": image + 1} for image in range(len(truths))]
    truth_set.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set.createIndex()
        judge = COCOeval(truth_set, truth_set.loadRes(results), "bbox")
        judge.params.maxDets = [1, 10, 1000]
        judge.params.iouThrs = np.array([0.5])
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][0, :, 0, 0, -1]
    return float(precision.mean())
