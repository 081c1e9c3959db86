"""Slices are read, samples are repeatable, and a network of CT learns, survives a kill, is measured and built."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.checkpoints.files import read_checkpoint
from export.cli import main
from export.errors import DataError
from export.evaluation.figures import read_measurement
from export.tasks.ct import train as loop
from export.tasks.ct.data import read_slices
from export.tasks.ct.losses import LossWeights
from export.tasks.ct.recipe import SliceRecipe
from export.tasks.ct.samples import Draw, Sampler, Slice, load_slice
from export.tasks.ct.train import SliceRun
from export.training.recipe import RunOptions, recipe_of
from export.training.schedule import learning_rate
from gateway.media.medical.nifti import read_nifti
from gateway.media.medical.slices import VolumeLimits
from gateway.repository.card import read_card
from gateway.vision.windowing import LUNG, from_windowed
from tests.support.checkpoints import write

pytestmark = [pytest.mark.processors, pytest.mark.training]

SIZE = 64
TINY = SliceRecipe(
    network="cogseg",
    name="tiny",
    width=0.05,
    draw=Draw(2),
    loss=LossWeights(edges=0.05, dice=1.0, pool=2),
    steps=4,
    learning_rate=1e-3,
    average=0.9,
    threshold=0.5,
    size=SIZE,
)


@pytest.fixture
def loaded(slices: Path) -> list[Slice]:
    return [load_slice(each, LUNG, SIZE) for each in read_slices(slices)]


def test_slices_are_read_in_hounsfield_units(slices: Path) -> None:
    listed = read_slices(slices)
    assert [each.split for each in listed] == ["train"] * 4 + ["val"] * 2
    units, labels = listed[1].read_units(LUNG), listed[1].read_labels()
    assert units.shape == labels.shape == (100, 120)
    picture = cv2.imread(str(slices / "images" / f"{listed[1].name}.png"), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    np.testing.assert_array_equal(units, from_windowed(np.asarray(picture, np.uint8), LUNG))
    assert set(np.unique(labels)) == {0, 2}


def as_volumes(folder: Path, labels: NDArray[np.generic], name: str = "tr") -> NDArray[np.int16]:
    """Write label maps (H, W, n) and slices of other units for each as COVID-19_1 has them; return the slices."""
    folder.mkdir(exist_ok=True)
    units = np.random.default_rng(labels.shape[2]).integers(-1400, 300, labels.shape).astype(np.int16)
    for part, voxels in (("im", units.astype(np.float32)), ("mask", labels.astype(np.float32))):
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1, -1, 1, 1])), folder / f"{name}_{part}.nii.gz")
    return units


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 4, (30, 50, 20)).astype(np.uint8)


def test_volumes_are_read_slice_by_slice_as_the_gateway_takes_them(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    units = as_volumes(tmp_path, labels)
    listed = read_slices(tmp_path)
    assert [each.split for each in listed] == ["train"] * 18 + ["val"] * 2
    assert len({each.name for each in listed}) == 20
    served = read_nifti((tmp_path / "tr_im.nii.gz").read_bytes(), VolumeLimits(64, 8, 32)).slices()
    for number, (each, sent) in enumerate(zip(listed, served, strict=True)):
        assert each.read_units(LUNG).dtype == np.int16
        np.testing.assert_array_equal(each.read_units(LUNG), units[..., number].T)
        np.testing.assert_array_equal(each.read_units(LUNG), sent.pixels)
        np.testing.assert_array_equal(each.read_labels(), labels[..., number].T)


def test_labelled_volumes_of_validation_are_taken_for_it(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    as_volumes(tmp_path, labels)
    units = as_volumes(tmp_path, labels[..., :3], "val")
    listed = read_slices(tmp_path)
    assert [each.split for each in listed] == ["train"] * 20 + ["val"] * 3
    np.testing.assert_array_equal(listed[-1].read_units(LUNG), units[..., 2].T)


def test_volumes_that_cannot_be_read_are_said(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    as_volumes(tmp_path, np.where(labels == 3, 38, labels))
    with pytest.raises(DataError, match="the value 38; labels are 0 to 3"):
        read_slices(tmp_path)
    as_volumes(tmp_path, labels[..., :5])
    (tmp_path / "tr_mask.nii.gz").replace(tmp_path / "kept")
    with pytest.raises(DataError, match=r"tr_mask\.nii\.gz cannot be read"):
        read_slices(tmp_path)
    as_volumes(tmp_path, labels)
    (tmp_path / "kept").replace(tmp_path / "tr_mask.nii.gz")
    with pytest.raises(DataError, match="not volumes of one size"):
        read_slices(tmp_path)
    data = (tmp_path / "tr_im.nii.gz").read_bytes()
    (tmp_path / "tr_im.nii.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"tr_im\.nii\.gz cannot be read"):
        read_slices(tmp_path)


def test_what_cannot_be_read_is_said(slices: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.csv"):
        read_slices(tmp_path)
    mask = slices / "masks_multiclass" / "slice-0.png"
    cv2.imwrite(str(mask), np.full((8, 8), 38, np.uint8))
    with pytest.raises(DataError, match="the value 38; labels are 0 to 3"):
        read_slices(slices)[0].read_labels()
    mask.write_bytes(b"no picture")
    with pytest.raises(DataError, match="is no picture"):
        read_slices(slices)[0].read_labels()
    mask.unlink()
    with pytest.raises(DataError, match="lacks the label map of slice-0"):
        read_slices(slices)
    (slices / "images" / "slice-0.png").unlink()
    with pytest.raises(DataError, match="lacks the picture of slice-0"):
        read_slices(slices)
    (slices / "manifest.csv").write_text("id\n")
    with pytest.raises(DataError, match="split"):
        read_slices(slices)


def test_samples_are_repeatable_and_keep_lesions_in_place(loaded: list[Slice]) -> None:
    sampler = Sampler(loaded[:1], LUNG, Draw(6), seed=1)
    one, again, other = sampler.batch(3), sampler.batch(3), sampler.batch(4)
    assert np.array_equal(one.fine, again.fine)
    assert np.array_equal(one.labels, again.labels)
    assert not np.array_equal(one.fine, other.fine)
    assert one.coarse.shape == (6, SIZE, SIZE)
    assert one.fine.shape == one.labels.shape == (6, 2 * SIZE, 2 * SIZE)
    assert one.coarse.dtype == one.fine.dtype == np.int16
    assert (one.fine >= LUNG.low).all()
    assert (one.fine <= LUNG.high).all()
    assert one.labels.any(axis=(1, 2)).all()
    # The patch is brighter than the lung and darker than the body, wherever it was turned to.
    for fine, labels in zip(one.fine, one.labels, strict=True):
        inside = cv2.erode((labels > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert np.median(loaded[0].units) > np.median(fine[inside]) > np.percentile(fine, 5)


def test_there_is_nothing_to_sample_from_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        Sampler([], LUNG, Draw(1), seed=0)


@pytest.mark.parametrize("network", ["cogseg", "ct_unet"])
def test_steps_on_the_same_batch_lower_the_loss(network: str, loaded: list[Slice]) -> None:
    run = SliceRun(replace(TINY, network=network, learning_rate=1e-2, steps=100), RunOptions())
    batch = Sampler(loaded, LUNG, TINY.draw, 0).batch(0)
    losses = [run.learn(batch) for _ in range(60)]
    assert losses[0].keys() == (
        {"entropy", "dice", "sharpness", "agreement", "edges"} if network == "cogseg" else {"entropy", "dice"}
    )
    for term in ("entropy", *(("sharpness",) if network == "cogseg" else ())):
        assert np.median([loss[term] for loss in losses[-5:]]) < 0.8 * losses[0][term]


def test_a_killed_run_ends_as_an_undisturbed_one(slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = read_checkpoint(loop.train(TINY, slices, tmp_path / "whole", RunOptions()))
    learn = SliceRun.learn

    def dying(run: SliceRun, batch: object) -> dict[str, float]:
        if run.step == 2:
            raise KeyboardInterrupt
        return learn(run, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(SliceRun, "learn", dying)
        with pytest.raises(KeyboardInterrupt):
            loop.train(TINY, slices, tmp_path / "killed", RunOptions())
    resumed = read_checkpoint(loop.train(TINY, slices, tmp_path / "killed", RunOptions()))
    assert undisturbed.state_dict.keys() == resumed.state_dict.keys()
    for name, weight in undisturbed.state_dict.items():
        torch.testing.assert_close(weight, resumed.state_dict[name], rtol=0, atol=0)
    assert (resumed.size, resumed.window, resumed.untrained) == (SIZE, (-1250, 250), ("pleural effusion",))
    assert resumed.data == "4 labelled CT slices (2 with ground-glass, 2 with consolidation)"


def test_a_run_may_begin_with_the_weights_of_another(slices: Path, tmp_path: Path) -> None:
    file = loop.train(TINY, slices, tmp_path / "first", RunOptions())
    first = read_checkpoint(file)
    still = replace(TINY, steps=1, learning_rate=0.0)
    second = read_checkpoint(loop.train(still, slices, tmp_path / "second", RunOptions(seed=1), start=file))
    for name, weight in first.state_dict.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(second.state_dict[name], weight, rtol=0, atol=1e-6)
    tensors = len(first.state_dict)
    origin = f"{tensors} of {tensors} tensors of {TINY.network}, {TINY.name}, after {TINY.steps} steps"
    assert second.hyperparameters["started_from"] == origin


def test_cogseg_may_begin_with_the_encoder_and_the_decoder_of_the_plain_unet(slices: Path, tmp_path: Path) -> None:
    unet = read_checkpoint(loop.train(replace(TINY, network="ct_unet"), slices, tmp_path / "unet", RunOptions()))
    run = SliceRun(replace(TINY, network="cogseg"), RunOptions(seed=1))
    run.start_from_network(unet)
    begun = run.network.state_dict()
    for name, weight in unet.state_dict.items():
        own = name if name in begun else f"segmentation.{name}"
        torch.testing.assert_close(begun[own], weight, rtol=0, atol=0)
    assert run.started.startswith(f"{len(unet.state_dict)} of {len(begun)} tensors of ct_unet")


def test_a_run_needs_both_splits(slices: Path, tmp_path: Path) -> None:
    manifest = slices / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",val,", ",test,"))
    with pytest.raises(DataError, match="lacks the split val"):
        loop.train(TINY, slices, tmp_path / "out", RunOptions())


def test_train_evaluate_build_and_evaluate_what_was_built(
    slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.cli.recipe_of", lambda network, _: replace(TINY, network=network))
    out, data, repository = tmp_path / "out", ["--data", str(slices)], tmp_path / "models"
    assert main(["train", "cogseg", *data, "--out", str(out)]) == 0
    history = json.loads((out / "history.json").read_text())
    assert {"loss edges", "infection_dsc", "miou"} <= history[-1].keys()
    checkpoint, figures = str(out / "model.pt"), str(out / "figures.json")
    assert main(["evaluate", checkpoint, *data, "--out", figures]) == 0
    assert "no lesion anywhere" in capsys.readouterr().out
    build = ["build", checkpoint, "--repository", str(repository)]
    assert main([*build, "--figures", figures]) == 0
    card = read_card(repository / "cogseg" / "card.json")
    assert card.figures[0].images == 2
    assert card.figures[0].metrics.keys() == card.figures[0].baseline.keys()
    assert card.training.untrained == ("pleural effusion",)
    again = str(out / "again.json")
    assert main(["evaluate", str(repository / "cogseg"), *data, "--out", again]) == 0
    # The exported file and the network give the same figures, up to a rounded probability here and there.
    one, other = (read_measurement(Path(path)).figures[0].metrics for path in (figures, again))
    assert one == pytest.approx(other, abs=0.01)
    assert main([*build, "--model", "cogseg_sr"]) == 0
    assert sorted(path.name for path in repository.iterdir()) == ["cogseg", "cogseg_sr"]
    capsys.readouterr()
    assert main(["verify", str(repository), "--checkpoint", checkpoint]) == 0
    assert capsys.readouterr().out.splitlines() == ["cogseg: sound", "cogseg_sr: sound"]
    assert main(["evaluate", str(repository / "cogseg_sr"), *data]) == 1
    assert "No model of that name serves ct." in capsys.readouterr().err


def test_what_cannot_be_trained_built_or_measured_is_said(
    slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, network = ["--data", str(slices)], ["--out", str(tmp_path / "out")], str(write(tmp_path / "m.pt", "fcn"))
    unet = str(write(tmp_path / "unet.pt", "ct_unet"))
    for arguments, reason in (
        (["train", "cogseg", *out], "learns from --data alone"),
        (["train", "cogseg", "--recipe", "none", *data, *out], "no recipe"),
        (["evaluate", unet, *data, "--split", "none"], "no slice in the split"),
        (["evaluate", unet, *data, "--plot", str(tmp_path / "plot.png")], "plot of interactive models alone"),
        (["build", unet, "--model", "cogseg_sr", "--repository", str(tmp_path)], "cogseg_sr is a cogseg"),
        (["build", unet, "--model", "none", "--repository", str(tmp_path)], "the catalogue has no none"),
        (["build", network, "--model", "cogseg", "--repository", str(tmp_path)], "cogseg is a cogseg, the checkpoint"),
    ):
        assert main(arguments) == 1, arguments
        assert reason in capsys.readouterr().err, arguments


def test_the_papers_recipe_is_the_papers() -> None:
    paper = recipe_of("cogseg", "paper")
    assert (paper.width, paper.learning_rate, paper.weight_decay, paper.threshold) == (1.0, 1e-4, 0.0, None)
    weights = paper.loss
    assert (weights.entropy, weights.sharpness, weights.agreement, weights.edges) == (1.0, 0.5, 0.5, 0.5)
    assert (weights.dice, weights.pool, set(weights.classes)) == (0.0, 1, {1.0})
    rates = [learning_rate(1e-4, paper.schedule, epoch / 250) for epoch in (0, 49, 50, 100, 150, 249, 250)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6, 6.25e-6])
    assert recipe_of("ct_unet", "paper").hyperparameters().keys() < paper.hyperparameters().keys()
