"""Models of a task side by side: what is asked together and alone, and what stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.evaluation import compare as command
from export.evaluation.command import Report
from export.evaluation.comparison import Comparison, Paper, Row, Stated, markdown
from export.evaluation.opened import Opened
from export.registry import CATALOG, TASKS
from gateway.repository.record import Figures
from gateway.repository.store import scan
from tests.support.places import ROOT

SHIPPED = scan(ROOT / "model_repository")


def fake(monkeypatch: pytest.MonkeyPatch, task: str, others: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    """Let each model of a task score the length of its name; return what is evaluated together, as it is asked."""
    asked: list[tuple[str, ...]] = []

    def evaluate(opened: Opened, data: Path, split: str) -> Report:
        names = tuple(model.name for model in opened.models)
        asked.append(names)
        known = (*names, "ensemble") if len(names) > 1 and not others else names
        figures = {
            name: Figures(
                split=split, images=2, metrics={"auc": float(len(name))}, baseline_name="always", baseline={"auc": 0.5}
            )
            for name in known
        }
        return Report(figures, "", seconds={known[-1]: 1.0}, others=others)

    monkeypatch.setattr(TASKS[task].module("evaluate"), "evaluate", evaluate)
    return asked


def test_radiographs_are_judged_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake(monkeypatch, "radiograph", {})
    found = command.compare(TASKS["radiograph"], SHIPPED, [], Path(), "val")
    names = [row.name for row in found.rows]
    assert names == [*(name for each in asked[:-1] for name in each), "ensemble", "always"]
    assert asked[-1] == tuple(names[:-2])
    assert found.rows[0].size > 1e5
    assert found.rows[-2].parameters == 0


def test_tools_stand_beside_models_of_clicks_which_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake(monkeypatch, "interactive", {"box": {"auc": 0.1}})
    found = command.compare(TASKS["interactive"], SHIPPED, [], Path(), "val")
    [together] = asked
    assert "click-lite0" in together
    assert [row.name for row in found.rows] == [*together, "box"]


@pytest.mark.parametrize("task", [task for task in TASKS.values() if command._paper(task)], ids=lambda task: task.name)
def test_what_a_paper_states_is_shown_beside_models_that_there_are(task: Any) -> None:
    paper = command._paper(task)
    assert paper is not None
    for row in paper.rows:
        assert row.metrics.keys() <= task.view.columns.keys()
        assert all(0 <= value <= 1 for value in row.metrics.values())
        assert CATALOG[row.model].task == task.models[0].task


def test_a_recipe_tells_the_rows_of_an_ablation_apart() -> None:
    card = next(model.card for model in SHIPPED.models.values() if model.card.name == "waste-fanet")
    whole = Row(name="waste-fanet", metrics={"miou": 0.5}, training=card.training)
    base = replace_recipe(whole, "demo-base")
    stated, ablated = (Stated(name="x", model="waste-fanet", recipe=recipe, metrics={}) for recipe in ("", "base"))
    assert [stated.is_of(row) for row in (whole, base)] == [True, False]
    assert [ablated.is_of(row) for row in (whole, base)] == [False, True]
    paper = Paper(source="A paper", rows=(Stated(name="Whole", model="waste-fanet", metrics={"miou": 0.6}),))
    found = Comparison(task="waste", split="val", images=3, rows=(base, whole), paper=paper)
    assert markdown(found, TASKS["waste"].view).splitlines()[-1] == "| Whole | waste-fanet | 0.600 | 0.500 |"


def replace_recipe(row: Row, recipe: str) -> Row:
    assert row.training is not None
    training = row.training.model_copy(update={"recipe": recipe})
    return row.model_copy(update={"name": f"{row.name} (run)", "training": training})
