"""Films are read, samples are repeatable, and a network of radiographs learns, survives a kill and is measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from export.checkpoints.files import read_checkpoint, write_checkpoint
from export.cli import main
from export.errors import CheckpointError, DataError
from export.evaluation.figures import read_measurement
from export.tasks.radiograph import train as loop
from export.tasks.radiograph.data import read_radiographs
from export.tasks.radiograph.recipe import RadiographRecipe
from export.tasks.radiograph.samples import Batch, Draw, Film, Sampler, with_smote
from export.tasks.radiograph.train import RadiographRun
from export.training.recipe import RunOptions, recipe_of
from gateway.repository.card import read_card
from gateway.vision.radiographs import to_square
from tests.support.checkpoints import FILM_SIZE, FILMS, checkpoint

pytestmark = [pytest.mark.processors, pytest.mark.training]

TINY = RadiographRecipe(
    network="resnet101v2",
    name="tiny",
    width=1 / 16,
    depths="quarter",
    draw=Draw(4, changes="sources", balanced=True),
    steps=4,
    learning_rate=1e-3,
    average=0.9,
    size=FILM_SIZE,
)


def loaded(folder: Path, split: str = "train") -> list[Film]:
    listed = [film for film in read_radiographs(folder) if film.split == split]
    return [Film(film.read(), film.value) for film in listed if film.value is not None]


def test_films_are_read_with_the_papers_classes_and_others(films: Path) -> None:
    listed = read_radiographs(films)
    assert {(film.label, film.value) for film in listed} == {("COVID-19", 0), ("NORMAL", 1), ("other_pneumonia", None)}
    assert [film.split for film in listed].count("val") == 12
    assert listed[0].read().shape == (100, 90)
    assert listed[0].read().dtype == np.uint8


def test_folders_of_pictures_are_the_other_layout(tmp_path: Path) -> None:
    for name in ("train/COVID-19/a.PNG", "train/NORMAL/b.jpg", "val/COVID-19/c.jpeg", "val/viral/d.png", "val/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    (tmp_path / "val" / "COVID-19" / "notes.txt").write_text("no picture")
    assert [(film.file.name, film.label, film.split) for film in read_radiographs(tmp_path)] == [
        ("a.PNG", "COVID-19", "train"),
        ("b.jpg", "NORMAL", "train"),
        ("c.jpeg", "COVID-19", "val"),
        ("d.png", "viral", "val"),
    ]


def test_what_cannot_be_read_is_said(films: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither labels\.csv nor folders"):
        read_radiographs(tmp_path / "none")
    first = read_radiographs(films)[0].file
    first.write_bytes(b"no picture")
    with pytest.raises(DataError, match="is no picture"):
        read_radiographs(films)[0].read()
    first.unlink()
    with pytest.raises(DataError, match="missing file"):
        read_radiographs(films)
    (films / "labels.csv").write_text("file,label\n")
    with pytest.raises(DataError, match="lacks the columns split"):
        read_radiographs(films)


@pytest.mark.parametrize("changes", ["jitter", "sources"])
def test_samples_are_repeatable_and_of_both_classes(films: Path, changes: str) -> None:
    draw = Draw(16, changes="jitter" if changes == "jitter" else "sources", balanced=True)
    sampler = Sampler(loaded(films), 64, draw, seed=1)
    one, again, other = sampler.batch(3), sampler.batch(3), sampler.batch(4)
    assert np.array_equal(one.films, again.films)
    assert np.array_equal(one.values, again.values)
    assert not np.array_equal(one.films, other.films)
    assert one.films.shape == (16, 64, 64)
    assert one.films.dtype == np.uint8
    assert one.values.dtype == np.int64
    assert set(one.values) == {0, 1}
    assert len({film.tobytes() for film in one.films}) == 16


def test_jitter_changes_little_and_keeps_the_film_in_place(films: Path) -> None:
    [film, *_] = loaded(films)
    assert film.value is not None
    plain = cv2.GaussianBlur(to_square(film.pixels, 64), (0, 0), 3).astype(np.float32)
    sampler = Sampler([film, Film(film.pixels, 1 - film.value)], 64, Draw(8, changes="jitter"), seed=0)
    for sample in sampler.batch(0).films:
        blurred = cv2.GaussianBlur(sample, (0, 0), 3).astype(np.float32)
        assert np.corrcoef(blurred.ravel(), plain.ravel())[0, 1] > 0.85


def test_a_class_without_films_is_said(films: Path) -> None:
    with pytest.raises(ValueError, match="a class has no film"):
        Sampler([film for film in loaded(films) if film.value], 64, TINY.draw, seed=0)


def test_smote_fills_up_the_rarer_class_between_its_films(films: Path) -> None:
    given = [film for index, film in enumerate(loaded(films)) if index not in (0, 1)]
    assert [film.value for film in given].count(0) == 6
    filled = with_smote(given, 32, seed=0)
    assert filled[: len(given)] == given
    assert [film.value for film in filled].count(0) == [film.value for film in filled].count(1) == 8
    squares = np.stack([to_square(film.pixels, 32) for film in given if film.value == 0]).astype(np.float64)
    for film in filled[len(given) :]:
        distances = [
            np.abs(one + share * (other - one) - film.pixels).max()
            for one in squares
            for other in squares
            for share in np.linspace(0, 1, 41)
        ]
        assert min(distances) < 6, "not on a line between two films"


def test_steps_on_the_same_batch_lower_the_loss(films: Path) -> None:
    run = RadiographRun(replace(TINY, learning_rate=1e-2, steps=100, activity=1e-3), RunOptions())
    batch = Sampler(loaded(films), FILM_SIZE, Draw(8, changes="jitter", balanced=True), 0).batch(0)
    losses = [run.learn(batch) for _ in range(15)]
    assert losses[0].keys() == {"entropy", "activity"}
    assert losses[-1]["entropy"] < 0.6 * losses[0]["entropy"]


def test_a_killed_run_ends_as_an_undisturbed_one(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = read_checkpoint(loop.train(TINY, films, tmp_path / "whole", RunOptions()))
    learn = RadiographRun.learn

    def dying(run: RadiographRun, batch: Batch) -> dict[str, float]:
        if run.step == 2:
            raise KeyboardInterrupt
        return learn(run, batch)

    with monkeypatch.context() as patched:
        patched.setattr(RadiographRun, "learn", dying)
        with pytest.raises(KeyboardInterrupt):
            loop.train(TINY, films, tmp_path / "killed", RunOptions())
    resumed = read_checkpoint(loop.train(TINY, films, tmp_path / "killed", RunOptions()))
    assert undisturbed.state_dict.keys() == resumed.state_dict.keys()
    for name, weight in undisturbed.state_dict.items():
        torch.testing.assert_close(weight, resumed.state_dict[name], rtol=0, atol=0)
    assert (resumed.steps, resumed.size, resumed.threshold, resumed.depths) == (4, FILM_SIZE, 0.5, "quarter")
    assert resumed.data == "16 labelled chest radiographs (8 COVID-19, 8 NORMAL)"
    history = json.loads((tmp_path / "killed" / "history.json").read_text())
    assert {"loss entropy", "auc", "f1"} <= history[-1].keys()


def test_a_run_needs_both_classes_in_both_splits(films: Path, tmp_path: Path) -> None:
    table = films / "labels.csv"
    table.write_text(table.read_text().replace("no_finding,val", "no_finding,test"))
    with pytest.raises(DataError, match="the split val has no film of NORMAL"):
        loop.train(TINY, films, tmp_path / "out", RunOptions())


def test_the_papers_recipe_learns_the_head_of_a_backbone_that_is_given(films: Path, tmp_path: Path) -> None:
    given = checkpoint("resnet101v2")
    start = replace(given, state_dict={k: v for k, v in given.state_dict.items() if k.startswith("backbone.")})
    write_checkpoint(start, tmp_path / "start.pt")
    paper = replace(recipe_of("resnet101v2", "paper"), width=1 / 16, depths="quarter", size=FILM_SIZE, steps=2)
    paper = replace(paper, draw=replace(paper.draw, batch=4))
    done = read_checkpoint(loop.train(paper, films, tmp_path / "out", RunOptions(), start=tmp_path / "start.pt"))
    for key, weight in start.state_dict.items():
        torch.testing.assert_close(done.state_dict[key], weight, rtol=0, atol=0)
    untouched = RadiographRun(paper, RunOptions()).network.state_dict()["head.dense.weight"]
    assert not torch.equal(done.state_dict["head.dense.weight"], untouched)
    assert done.hyperparameters["started_from"] == "backbone of resnet101v2, demo"
    with pytest.raises(CheckpointError, match="the start's backbone is not this network's"):
        loop.train(replace(paper, width=1 / 8), films, tmp_path / "other", RunOptions(), start=tmp_path / "start.pt")


def test_the_papers_recipe_is_the_papers() -> None:
    for network in FILMS:
        paper = recipe_of(network, "paper")
        assert (paper.width, paper.depths, paper.size, paper.activity, paper.fixed) == (1.0, "full", 224, 1e-3, True)
        assert paper.draw.smote
        assert paper.draw.changes == "jitter"
    with pytest.raises(ValueError, match="no recipe"):
        recipe_of("densenet201", "none")


def test_models_are_measured_alone_and_together(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "one.pt", tmp_path / "two.pt"]
    for file, architecture in zip(files, ("resnet101v2", "densenet201"), strict=True):
        write_checkpoint(checkpoint(architecture), file)
    data, out = ["--data", str(films)], tmp_path / "figures.json"
    assert main(["evaluate", str(files[0]), *data, "--out", str(out)]) == 0
    alone = capsys.readouterr().out
    assert "val: 4 COVID-19, 4 NORMAL, 4 other_pneumonia" in alone
    assert "ensemble" not in alone
    [figures] = read_measurement(out).figures
    assert (figures.images, figures.buildings["other_pneumonia"], figures.baseline_name) == (8, 4, "COVID-19 always")
    assert np.sum(figures.confusion) == 8
    assert figures.metrics.keys() == figures.baseline.keys() >= {"auc", "f1", "other_pneumonia_called"}
    assert figures.baseline["auc"] == figures.baseline["accuracy"] == 0.5
    [(tp, fn), (_, tn)] = figures.confusion
    assert figures.metrics["accuracy"] == (tp + tn) / 8
    assert figures.metrics["recall"] == tp / (tp + fn)
    assert main(["evaluate", *map(str, files), *data]) == 0
    together = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line and line[0] != " "]
    assert together[1:5] == ["cxr-resnet101v2", "cxr-densenet201", "ensemble", "COVID-19"]


def test_scores_are_those_of_the_served_graph_and_the_ensemble_their_mean(films: Path, tmp_path: Path) -> None:
    made = checkpoint("resnet101v2")
    write_checkpoint(made, tmp_path / "one.pt")
    out = tmp_path / "figures.json"
    assert main(["evaluate", str(tmp_path / "one.pt"), "--data", str(films), "--out", str(out)]) == 0
    listed = [film for film in read_radiographs(films) if film.label == "other_pneumonia" and film.split == "val"]
    squares = np.stack([to_square(film.read(), FILM_SIZE) for film in listed]).astype(np.float32) / 255
    with torch.inference_mode():
        logits = made.network()(torch.from_numpy(squares)[:, None].expand(-1, 3, -1, -1))
    wanted = float(logits.softmax(dim=1)[:, 0].mean())
    assert read_measurement(out).figures[0].metrics["other_pneumonia_score"] == pytest.approx(wanted, abs=1e-5)


def test_what_cannot_be_trained_or_measured_is_said(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, data, out = tmp_path / "film.pt", ["--data", str(films)], ["--out", str(tmp_path / "out")]
    write_checkpoint(checkpoint("resnet101v2"), file)
    for arguments, reason in (
        (["train", "densenet201", *out], "learns from --data alone"),
        (["train", "densenet201", "--recipe", "none", *data, *out], "no recipe"),
        (["evaluate", str(file), *data, "--split", "none"], "has no film of COVID-19 or NORMAL in the split 'none'"),
        (["evaluate", str(file), str(file), *data, *out], "figures are saved of one model"),
        (["evaluate", str(file), *data, "--plot", str(tmp_path / "plot.png")], "plot of interactive models alone"),
    ):
        assert main(arguments) == 1, arguments
        assert reason in capsys.readouterr().err, arguments


def test_train_build_and_evaluate_what_was_built(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.cli.recipe_of", lambda *_: TINY)
    out, data, repository = tmp_path / "out", ["--data", str(films)], tmp_path / "models"
    assert main(["train", "resnet101v2", *data, "--out", str(out)]) == 0
    file, figures, again = out / "model.pt", out / "figures.json", out / "again.json"
    assert main(["evaluate", str(file), *data, "--out", str(figures)]) == 0
    assert main(["build", str(file), "--repository", str(repository), "--figures", str(figures)]) == 0
    folder = repository / "cxr-resnet101v2"
    assert read_card(folder / "card.json").figures == read_measurement(figures).figures
    assert main(["evaluate", str(folder), *data, "--out", str(again)]) == 0
    one, other = (read_measurement(path).figures[0].metrics for path in (figures, again))
    assert one == pytest.approx(other, abs=1e-3)
    capsys.readouterr()
    assert main(["verify", str(repository), "--checkpoint", str(file)]) == 0
    assert capsys.readouterr().out == "cxr-resnet101v2: sound\n"
