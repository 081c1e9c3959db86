"""Tasks and networks are found by their files: nothing lists them."""

from __future__ import annotations

import pytest

from export.errors import CheckpointError
from export.networks import ARCHITECTURES, build_network
from export.registry import CATALOG, TASKS, specs_of, task_of, task_of_card, task_of_model


def test_every_task_has_what_the_commands_ask_for() -> None:
    for task in TASKS.values():
        assert task.package.startswith("export.tasks.")
        assert task.module("recipe").RECIPES
        assert callable(task.module("train").train)
        assert callable(task.module("evaluate").evaluate)
        graph = task.module("graph")
        assert all(callable(getattr(graph, name)) for name in ("graph_of", "cases_of", "drawn", "faults"))
        assert not task.command or callable(task.module(task.command).add_command)


def test_models_networks_and_recipes_belong_together() -> None:
    assert len(CATALOG) == sum(len(task.models) for task in TASKS.values())
    for spec in CATALOG.values():
        assert spec.architecture in ARCHITECTURES
        assert task_of_model(spec) is task_of_card(spec.task) is task_of(spec.architecture)
    for task in TASKS.values():
        assert {recipe.network for recipe in task.module("recipe").RECIPES} <= {m.architecture for m in task.models}
    assert ARCHITECTURES.keys() == {spec.architecture for spec in CATALOG.values()}


def test_models_built_on_request_are_not_built_otherwise() -> None:
    assert [spec.name for spec in specs_of("cogseg")] == ["cogseg"]
    assert [spec.name for spec in specs_of("iog_refine")] == ["iog_refine_encoder", "iog_refine"]


def test_what_is_not_there_is_named() -> None:
    assert task_of_card("tea") is None
    with pytest.raises(CheckpointError, match=r"'lenet'.*siamunet"):
        specs_of("lenet")
    with pytest.raises(ValueError, match=r"unknown architecture 'lenet'; known: .*siamunet"):
        build_network("lenet")
    with pytest.raises(ValueError, match="unknown backbone 'deep'; known: fanet_b, fanet_s"):
        build_network("fanet", depths="deep")
