"""From labelled photographs to a served model of waste."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.checkpoints.files import read_checkpoint
from export.cli import main
from export.errors import CheckpointError, DataError
from export.evaluation.figures import read_measurement
from export.networks.fanet import FANet
from export.registry import specs_of
from export.tasks.waste import train as loop
from export.tasks.waste.data import read_photos
from export.tasks.waste.evaluate import metrics
from export.tasks.waste.losses import LossWeights, dice_distance, terms
from export.tasks.waste.recipe import WasteRecipe
from export.tasks.waste.samples import IGNORED, Draw, Light, Photo, Sampler, load_photo
from export.tasks.waste.train import WasteRun, starting_weights
from export.training.metrics import class_ious, confusion_of, mean_iou
from export.training.recipe import RunOptions, recipe_of
from export.training.schedule import learning_rate
from gateway.repository.card import read_card
from tests.support.checkpoints import FANET_WIDTH, write

pytestmark = [pytest.mark.processors, pytest.mark.training]

SIZE = 64
TINY = WasteRecipe(
    network="fanet",
    name="tiny",
    width=FANET_WIDTH,
    depths="fanet_s",
    size=SIZE,
    draw=Draw(2, SIZE, letterboxed=0.3, mirrored=True),
    loss=LossWeights(dice=0.5),
    steps=3,
    learning_rate=1e-3,
    average=0.5,
)
FCN = replace(TINY, network="waste_fcn", width=1 / 16, depths=None, normalised=True)
LITE0 = replace(TINY, network="photo_lite0", width=1 / 16, depths=None)


@pytest.fixture
def loaded(photos: Path) -> list[Photo]:
    return [load_photo(photo, SIZE, 4 * SIZE, 3) for photo in read_photos(photos).of("train")]


def test_photographs_are_held_at_the_models_scale(loaded: list[Photo]) -> None:
    assert {photo.image.shape for photo in loaded} == {(64, 96, 3)}
    assert {photo.labels.shape for photo in loaded} == {(64, 96)}
    assert set(np.unique(loaded[0].labels)) == {0, 1, 2}


def test_label_maps_that_say_something_else_are_refused(photos: Path) -> None:
    photo = read_photos(photos).photos[0]
    with pytest.raises(DataError, match=r"photo-0 has the values \[2\]"):
        load_photo(photo, SIZE, 4 * SIZE, 2)


def test_samples_are_repeatable_and_keep_bags_in_place(loaded: list[Photo]) -> None:
    dark = Light(brightness=0, contrast=1, saturation=1, hue=0)
    sampler = Sampler(loaded, Draw(8, SIZE, turn=10, letterboxed=0.5, mirrored=True, light=dark), seed=1)
    one, again, other = sampler.batch(3), sampler.batch(3), sampler.batch(4)
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert not np.array_equal(one.images, other.images)
    assert (one.images.shape, one.labels.shape) == ((8, SIZE, SIZE, 3), (8, SIZE, SIZE))
    assert set(np.unique(one.labels)) == {0, 1, 2}
    # Green bags are 1, violet ones 2, wherever they were turned to.
    for value, colour in ((1, (60, 170, 60)), (2, (190, 60, 150))):
        np.testing.assert_allclose(np.median(one.images[one.labels == value], axis=0), colour, atol=12)
    # Between white bars the whole photograph is shown; they are background.
    white = (one.images == 255).all(axis=-1)
    assert white.any()
    assert (one.labels[white] == 0).all()


def test_beyond_its_border_a_photograph_counts_for_nothing(loaded: list[Photo]) -> None:
    labels = Sampler(loaded, Draw(8, SIZE, smallest=0.4, largest=0.5), seed=0).batch(0).labels
    assert (labels == IGNORED).any(axis=(1, 2)).all()
    assert not (Sampler(loaded, Draw(8, SIZE, smallest=1.0, largest=2.0), 0).batch(0).labels == IGNORED).any()


def test_crops_of_one_class_alone_are_avoided(loaded: list[Photo]) -> None:
    def shares(most: float) -> float:
        labels = Sampler(loaded, Draw(40, 24, smallest=1.0, largest=1.0, most=most), seed=0).batch(0).labels
        return float(np.mean([np.bincount(each.ravel()).max() / each.size > 0.75 for each in labels]))

    assert shares(0.75) < 0.5 * shares(1.0)


def test_light_changes_pictures_and_not_labels(loaded: list[Photo]) -> None:
    plain = Draw(8, SIZE, light=Light(0, 1, 1, 0))
    bright = replace(plain, light=Light())
    one, other = Sampler(loaded, plain, 0).batch(0), Sampler(loaded, bright, 0).batch(0)
    assert not np.array_equal(one.images, other.images)
    assert one.labels.any(axis=(1, 2)).sum() >= 6


def test_other_cameras_change_pictures_and_no_sample_of_recipes_without_them(loaded: list[Photo]) -> None:
    one, other, again = (
        Sampler(loaded, Draw(8, SIZE, light=Light(0, 1, 1, 0, sensor)), 0).batch(0) for sensor in (0.0, 1.0, 0.0)
    )
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_array_equal(one.labels[0], other.labels[0])
    assert np.abs(one.images[0].astype(int) - other.images[0]).mean() > 1


def test_public_weights_are_asked_for_where_a_recipe_begins_with_them(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        loop.train(replace(LITE0, pretrained=True), photos, tmp_path, RunOptions(encoder=tmp_path / "missing.pth"))
    chosen = recipe_of("photo_lite0", "demo")
    assert chosen.pretrained
    assert chosen.encoder_rate < 1


def test_there_is_nothing_to_sample_from_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        Sampler([], Draw(1, SIZE), seed=0)


def test_losses_are_those_of_both_heads_at_the_labels_size() -> None:
    labels = torch.randint(0, 3, (2, 16, 16))
    right = 20.0 * torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    found = terms([right, torch.zeros(2, 3, 4, 4)], labels, LossWeights(auxiliary=0.4, dice=0.5))
    assert found["entropy"] < 1e-6
    assert found["dice"] < 1e-3
    assert found["auxiliary"] == pytest.approx(0.4 * np.log(3), rel=1e-5)
    assert terms([right], labels, LossWeights()).keys() == {"entropy"}


def test_what_is_ignored_costs_nothing() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, :4] = IGNORED
    logits = torch.zeros(1, 3, 8, 8)
    logits[:, 0, 4:], logits[:, 2, :4] = 30.0, 30.0
    assert terms([logits], labels, LossWeights())["entropy"] < 1e-6
    assert dice_distance(logits, labels) < 1e-3
    assert dice_distance(logits.flip(2), labels) > 0.9


def test_confusion_counts_what_is_judged() -> None:
    truth = np.array([[0, 1, 2, 255]], np.uint8)
    confusion = confusion_of(np.array([[0, 1, 1, 2]], np.uint8), truth, 4)
    assert confusion.sum() == 3
    assert confusion[2, 1] == 1
    assert class_ious(confusion) == [1.0, 0.5, 0.0, None]
    assert mean_iou(confusion) == pytest.approx(0.5)
    assert mean_iou(confusion, background=False) == pytest.approx(0.25)
    figures = metrics(confusion, ("background", "a", "b", "c"))
    assert figures == {
        "miou": pytest.approx(0.5),
        "miou_without_background": pytest.approx(0.25),
        "pixel_accuracy": pytest.approx(2 / 3),
        "background_iou": 1.0,
        "background_accuracy": 1.0,
        "a_iou": 0.5,
        "a_accuracy": 1.0,
        "b_iou": 0.0,
        "b_accuracy": 0.0,
    }


@pytest.mark.parametrize("recipe", [TINY, FCN, LITE0], ids=["fanet", "waste_fcn", "photo_lite0"])
def test_steps_on_the_same_batch_lower_the_loss(recipe: WasteRecipe, loaded: list[Photo]) -> None:
    run = WasteRun(replace(recipe, learning_rate=1e-2, steps=100), "bags", RunOptions())
    batch = Sampler(loaded, TINY.draw, 0).batch(0)
    losses = [run.learn(batch) for _ in range(15)]
    assert losses[0].keys() == {"entropy", "dice", *(["auxiliary"] if recipe is TINY else [])}
    assert losses[-1]["entropy"] < 0.7 * losses[0]["entropy"]


def test_a_killed_run_ends_as_an_undisturbed_one(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = read_checkpoint(loop.train(TINY, photos, tmp_path / "whole", RunOptions()))
    learn = WasteRun.learn

    def dying(run: WasteRun, batch: object) -> dict[str, float]:
        if run.step == 2:
            raise KeyboardInterrupt
        return learn(run, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(WasteRun, "learn", dying)
        with pytest.raises(KeyboardInterrupt):
            loop.train(TINY, photos, tmp_path / "killed", RunOptions())
    resumed = read_checkpoint(loop.train(TINY, photos, tmp_path / "killed", RunOptions()))
    assert undisturbed.state_dict.keys() == resumed.state_dict.keys()
    for name, weight in undisturbed.state_dict.items():
        torch.testing.assert_close(weight, resumed.state_dict[name], rtol=0, atol=0)
    assert (resumed.size, resumed.classes, resumed.depths, resumed.untrained) == (SIZE, "bags", "fanet_s", ())
    assert resumed.data == "4 labelled photographs (4 with general_trashbag, 4 with other_trashbag)"


def test_a_run_needs_both_splits(photos: Path, tmp_path: Path) -> None:
    manifest = photos / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",val,", ",test,"))
    with pytest.raises(DataError, match="no photograph in the split 'val'"):
        loop.train(TINY, photos, tmp_path / "out", RunOptions())


@pytest.mark.parametrize("recipe", [TINY, FCN, LITE0], ids=["fanet", "waste_fcn", "photo_lite0"])
def test_train_evaluate_build_and_evaluate_what_was_built(
    recipe: WasteRecipe,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("export.cli.recipe_of", lambda *_: recipe)
    out, data, repository = tmp_path / "out", ["--data", str(photos)], tmp_path / "models"
    [entry] = specs_of(recipe.network)
    name = entry.name
    assert main(["train", recipe.network, *data, "--out", str(out)]) == 0
    history = json.loads((out / "history.json").read_text())
    assert {"loss entropy", "miou", "other_trashbag_iou", "pixel_accuracy"} <= history[-1].keys()
    checkpoint, figures = str(out / "model.pt"), str(out / "figures.json")
    assert main(["evaluate", checkpoint, *data, "--out", figures]) == 0
    assert "background everywhere" in capsys.readouterr().out
    assert main(["build", checkpoint, "--repository", str(repository), "--figures", figures]) == 0
    card = read_card(repository / name / "card.json")
    assert card.resize is not None
    assert (card.tile, card.overlap, card.resize.short, card.resize.long) == (SIZE, 16, SIZE, 256)
    assert [spec.name for spec in card.classes] == ["background", "general_trashbag", "other_trashbag"]
    assert card.figures[0].images == 2
    assert card.figures[0].baseline["background_iou"] > 0.5
    again = str(out / "again.json")
    assert main(["evaluate", str(repository / name), *data, "--out", again]) == 0
    one, other = (read_measurement(Path(path)).figures[0].metrics for path in (figures, again))
    assert one == pytest.approx(other, abs=0.01)
    capsys.readouterr()
    assert main(["verify", str(repository), "--checkpoint", checkpoint]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: sound"]


def test_a_run_begins_with_a_published_backbone(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    backbone = FANet(FANET_WIDTH, (2, 2, 3, 1))
    published = {**backbone.state_dict(), "norm.weight": torch.ones(64), "head.weight": torch.ones(1000, 64)}
    torch.save({"state_dict": published, "epoch": 3}, tmp_path / "backbone.pth.tar")
    start = tmp_path / "backbone.pth.tar"
    learnt = read_checkpoint(
        loop.train(replace(TINY, learning_rate=0.0), photos, tmp_path / "run", RunOptions(), start=start)
    )
    for key, weight in backbone.state_dict().items():
        torch.testing.assert_close(learnt.state_dict[f"backbone.{key}"], weight)
    count = len(backbone.state_dict())
    assert learnt.hyperparameters["started_from"] == f"{count} of {len(learnt.state_dict)} tensors of a backbone's file"


def test_a_run_begins_with_another_of_ours(tmp_path: Path) -> None:
    weights, origin = starting_weights(write(tmp_path / "model.pt", "fanet"))
    assert origin == "fanet, demo, after 3 steps"
    assert "decode_head.conv_seg.weight" in weights
    (tmp_path / "broken.pth").write_bytes(b"no file of torch")
    with pytest.raises(CheckpointError, match=r"broken\.pth"):
        starting_weights(tmp_path / "broken.pth")


def test_what_cannot_be_trained_or_measured_is_said(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = ["--data", str(photos)], ["--out", str(tmp_path / "out")]
    zerowaste = str(write(tmp_path / "zerowaste.pt", "fanet"))
    for arguments, reason in (
        (["train", "fanet", *out], "learns from --data alone"),
        (["train", "fanet", "--scenes", "3", *data, *out], "no scenes are drawn"),
        (["train", "fanet", "--recipe", "none", *data, *out], "no recipe"),
        (["evaluate", zerowaste, *data], "and no label set 'bags'"),
        (["evaluate", zerowaste, *data, "--plot", str(tmp_path / "plot.png")], "plot of interactive models alone"),
    ):
        assert main(arguments) == 1, arguments
        assert reason in capsys.readouterr().err, arguments


def test_the_papers_recipe_is_the_published_configuration() -> None:
    paper = recipe_of("fanet", "paper")
    assert (paper.width, paper.depths, paper.size, paper.steps) == (1.0, "fanet_b", 512, 40_000)
    assert (paper.learning_rate, paper.weight_decay, paper.schedule) == (9e-5, 1e-3, "poly")
    draw = paper.draw
    assert (draw.batch, draw.crop, draw.smallest, draw.largest, draw.most) == (2, 512, 0.5, 2.0, 0.75)
    assert (draw.turn, draw.letterboxed, draw.mirrored) == (0.0, 0.0, False)
    rates = [learning_rate(9e-5, "poly", step / 40_000) for step in (0, 750, 1_500, 20_000, 40_000)]
    assert rates == pytest.approx([0, 4.5e-5 * 0.98216, 9e-5 * 0.96436, 9e-5 * 0.5**0.95, 0], rel=1e-3)
    assert recipe_of("waste_fcn", "paper").hyperparameters()["loss_auxiliary"] == 0.0
