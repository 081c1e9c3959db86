"""The network of clicks on the public encoder: halves that fit, boxes by hand, a promise, two folders that ship."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from export.build import build
from export.checkpoints.files import read_checkpoint
from export.evaluation.engine import of_checkpoint
from export.networks.divided import Divided
from export.registry import CATALOG
from export.tasks.interactive.compose import Photo
from export.tasks.interactive.data import read_objects
from export.tasks.interactive.graph import ServedEncoder, ServedHead, Undivided
from export.tasks.interactive.recipe import ClickRecipe
from export.tasks.interactive.samples import Draw, Geometry, Sampler, load_photo
from export.tasks.interactive.simulate import loosened
from export.tasks.interactive.spec import InteractiveSpec
from export.tasks.interactive.train import ClickRun, promise_loss, train
from export.training.recipe import RunOptions, recipe_of
from export.training.sampling import shares
from gateway.repository.store import scan
from gateway.vision.clicks import Box
from tests.support.checkpoints import click_inputs, small_entries, small_entry, untrained, write

pytestmark = pytest.mark.training

PAIR = ("click-lite0", "click-lite0-encoder")
GEOMETRY = Geometry(size=64, margin=0, sigma=5, push=0, share=0.25)
TINY = ClickRecipe(
    network="click_unet",
    name="tiny",
    width=1 / 16,
    depths="lite0",
    geometry=GEOMETRY,
    draw=Draw(2, loose=True, balance=0.5),
    steps=4,
    learning_rate=1e-3,
    average=0.9,
    rounds=2,
    promise=0.5,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder of three drawn objects, one of which validates."""
    root = tmp_path / "objects"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    rows = ["id,dataset,split,image,mask"]
    for index, split in enumerate(("train", "train", "val")):
        mask = np.zeros((80, 96), np.uint8)
        cv2.circle(mask, (40 + 4 * index, 40), 20, (255,), cv2.FILLED)
        image = np.where(mask[..., None] > 0, (40, 200, 40), (120, 90, 60)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{index}.png"), image)
        cv2.imwrite(str(root / "masks" / f"{index}.png"), mask)
        rows.append(f"{index},drawn,{split},images/{index}.png,masks/{index}.png")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def photos(data: Path) -> list[Photo]:
    return [load_photo(each) for each in read_objects(data)]


def test_encoder_and_head_are_the_undivided_network_but_for_rounded_features() -> None:
    network = untrained("click_unet")
    assert isinstance(network, Divided)
    joined, clicks = click_inputs("click_unet")
    crop, first, all_clicks = (
        each.permute(0, 2, 3, 1).to(torch.uint8) for each in (joined[:, :3], joined[:, 3:], clicks)
    )
    with torch.inference_mode():
        features = ServedEncoder(network)(crop, first)
        answer = ServedHead(network)(*features, all_clicks)
        whole = Undivided(network)(crop, first, all_clicks)
    assert [feature.shape[-1] for feature in features] == [32, 16, 8, 4]
    assert {feature.dtype for feature in features} == {torch.float16}
    assert (answer.int() - whole.int()).abs().max() <= 4


def test_what_is_served_answers_as_what_was_trained_and_its_head_convolves_less() -> None:
    network = untrained("click_unet")
    assert isinstance(network, Divided)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    served = network.served()
    inputs = click_inputs("click_unet")
    with torch.inference_mode():
        torch.testing.assert_close(served(*inputs), network(*inputs), rtol=1e-4, atol=1e-4)
        features = served.encode(inputs[0])
    assert [feature.shape[1] for feature in features] == list(served.feature_channels)
    assert torch.equal(features[0], network.encode(inputs[0])[0]), "the finest is kept as it is"
    head, trained = (
        sum(parameter.numel() for name, parameter in each.named_parameters() if not name.startswith("backbone."))
        for each in (served, network)
    )
    assert head < trained
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_both_folders_are_built_and_name_their_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PAIR:
        monkeypatch.setitem(CATALOG, name, small_entry(name))
    folders = build(write(tmp_path / "model.pt", "click_unet"), small_entries("click_unet"), tmp_path / "models")
    assert [folder.name for folder in folders] == ["click-lite0-encoder", "click-lite0"]
    head = scan(tmp_path / "models").models["click-lite0"].card
    assert head.clicks is not None
    assert (head.clicks.margin, head.clicks.share, head.clicks.push) == (0, 0.25, 0)
    assert (head.clicks.encoder, head.network.encoder) == ("click-lite0-encoder", "lite0")


def test_a_run_leaves_a_checkpoint_that_takes_further_clicks(data: Path, tmp_path: Path) -> None:
    file = train(TINY, data, tmp_path / "run", RunOptions())
    checkpoint = read_checkpoint(file)
    assert (checkpoint.architecture, checkpoint.depths, checkpoint.steps) == ("click_unet", "lite0", 4)
    assert checkpoint.hyperparameters["loose"] is True
    served = of_checkpoint(checkpoint)
    assert [each.model.name for each in served] == ["click-lite0-encoder", "click-lite0"]


def test_steps_on_the_same_batch_lower_the_loss(photos: list[Photo]) -> None:
    run = ClickRun(replace(TINY, width=1 / 8, learning_rate=2e-2, schedule="constant"), RunOptions())
    batch = Sampler(photos, GEOMETRY, "iog", TINY.draw, 0).batch(0)
    losses = [run.learn(batch) for _ in range(15)]
    assert min(loss["first"] for loss in losses[-3:]) < 0.8 * losses[0]["first"]
    assert {"first", "corrected", "promised"} == losses[0].keys()


def test_the_recipe_that_ships_begins_with_the_public_weights() -> None:
    recipe, spec = recipe_of("click_unet", "demo"), CATALOG["click-lite0"]
    assert (recipe.pretrained, recipe.geometry.push, recipe.geometry.margin) == (True, 0, 0)
    assert isinstance(spec, InteractiveSpec)
    assert recipe.geometry.share == spec.clicks(256).share


def test_the_crop_grows_with_the_box() -> None:
    for scale in (1, 2, 8):
        box = Box(10 * scale, 20 * scale, 50 * scale - 1, 120 * scale - 1)
        framed = GEOMETRY.around(box)
        assert (framed.width, framed.height) == (90 * scale, 150 * scale)
    assert Box(0, 0, 9, 9).framed(3, 0.0) == Box(-3, -3, 12, 12)


def test_boxes_by_hand_hold_most_of_the_tight_one_and_stay_in_the_image() -> None:
    tight, tighter = Box(30, 20, 69, 59), 0
    for seed in range(200):
        drawn = loosened(np.random.default_rng(seed), tight, 70, 75)
        assert drawn == drawn.clipped(70, 75)
        moves = (tight.x0 - drawn.x0, tight.y0 - drawn.y0, drawn.x1 - tight.x1, drawn.y1 - tight.y1)
        assert min(moves) >= -2
        assert max(moves) <= 8
        tighter += drawn == tight
    assert 30 <= tighter <= 90


def test_a_balance_of_one_gives_every_collection_the_same() -> None:
    sources = ["a"] * 9 + ["b"]
    assert shares(sources, 0.0) == pytest.approx([0.1] * 10)
    assert shares(sources, 1.0) == pytest.approx([1 / 18] * 9 + [0.5])
    assert shares(sources, 0.5)[-1] == pytest.approx(1 / 4)


def test_a_promise_looks_at_the_clicked_pixels_alone() -> None:
    masks = torch.zeros(1, 4, 4)
    masks[0, 1, 1] = 1
    clicked = torch.zeros(1, 4, 4)
    clicked[0, 1, 1] = clicked[0, 2, 2] = 1
    kept = torch.full((1, 1, 4, 4), 9.0)
    kept[0, 0, 2, 2] = -9
    broken = -kept
    assert promise_loss(kept, masks, clicked).item() < 0.01
    assert promise_loss(broken, masks, clicked).item() > 8
    assert promise_loss(broken, masks, torch.zeros(1, 4, 4)).item() == 0


def test_what_lies_outside_the_photograph_is_black(photos: list[Photo]) -> None:
    sampler = Sampler(photos, replace(GEOMETRY, share=2.0), "iog", replace(TINY.draw, batch=8), 0)
    for crop in sampler.batch(0).crops:
        assert not crop[0].any()
