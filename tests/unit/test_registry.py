"""What the registry makes of the specs of tasks, and which it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from gateway.registry import NamedModel, Registry
from gateway.tasks.waste.spec import TASK

HEAVY = ("fastapi", "starlette", "torch", "onnxruntime")


def test_every_room_is_a_task() -> None:
    registry = Registry.discover()
    assert list(registry.tasks) == ["ct", "damage", "interactive", "land", "radiograph", "restore", "waste"]
    assert registry.scopes == {*registry.tasks, "infer", "emergency", "jobs", "pacs", "admin", "metrics"}
    assert {registry.task_of(task).name for task in ("damage-crop", "damage-boxes")} == {"damage"}
    assert registry.task_of("interactive-encoder").name == "interactive"
    assert registry.models["fused_grader"].default == "bd-cnn"


def test_specs_are_read_without_what_serves() -> None:
    code = f"import gateway.settings as s, sys; s.Settings(); print([m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["infer", "any", "models", "tasks", "Waste", "waste/two", "", "2d"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no task may be named"):
        replace(TASK, name=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "the setting models.waste, the task waste"),
        ({"name": "sorting"}, "models of 'waste'"),
        (
            {"name": "sorting", "contracts": {}, "named_models": (NamedModel("waste", "m", ""),)},
            "the setting models.waste",
        ),
    ],
)
def test_two_tasks_share_neither_name_nor_models_nor_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"there twice: .*{message}"):
        Registry([TASK, replace(TASK, **changes)])
