"""The engine of evaluations answers the gateway's pipelines; what is opened is told by what lies there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.errors import EvaluationError
from export.evaluation.command import evaluate
from export.evaluation.engine import Bench, of_folder
from export.evaluation.opened import open_models, sound_model
from gateway.engines.base import choose
from gateway.inference.segmenter import Segmenter
from gateway.tasks.damage.pipeline import map_damage
from tests.support.trivial import label_table, write_trivial_model
from tests.support.trivial_interactive import write_trivial_interactive


def test_a_pipeline_runs_on_a_folder_as_it_would_in_the_gateway(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path)
    post = np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)
    flat = np.full_like(post, 130)
    with Bench([of_folder(sound_model(folder))]) as bench:
        model = choose(bench.engine, "damage", "trivial")
        assert model is bench.only
        found = bench.answer(map_damage(Segmenter.of(bench.run, model), post, flat))
    assert (found.label_map == label_table(5)[130]).all()
    assert found.label_map.shape == (100, 150)


def test_only_the_outputs_asked_for_are_given(tmp_path: Path) -> None:
    with Bench([of_folder(sound_model(write_trivial_model(tmp_path)))]) as bench:
        tile = np.zeros((2, 64, 64, 3), np.uint8)
        asked = bench.engine.infer(bench.only, {"pre": tile, "post": tile}, ["label_map"], bench.run.timeline)
        answer = bench.answer(asked)
    assert list(answer) == ["label_map"]
    assert answer["label_map"].shape == (2, 64, 64)


def test_a_repository_is_opened_for_its_interactive_models_with_their_encoders(tmp_path: Path) -> None:
    write_trivial_model(tmp_path)
    write_trivial_interactive(tmp_path)
    opened = open_models([tmp_path])
    assert opened.task.name == "interactive"
    assert {model.card.task for model in opened.models} == {"interactive"}
    assert {each.model.name for each in opened.served} > {model.name for model in opened.models}


def test_what_cannot_be_opened_together_is_refused(tmp_path: Path) -> None:
    one, other = write_trivial_model(tmp_path), write_trivial_model(tmp_path, "other")
    with pytest.raises(EvaluationError, match="several models are measured together of radiographs alone"):
        open_models([one, other])
    with pytest.raises(EvaluationError, match="nothing is not a sound model: there is none"):
        open_models([tmp_path / "nothing"])
    with pytest.raises(EvaluationError, match="plot of interactive models alone"):
        evaluate([one], tmp_path, "val", plot=tmp_path / "plot.png")
