"""The tasks of `export` and their models, found by their folders: every package of `export.tasks` whose `spec` has a
`TASK`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages

import export.tasks
from export.errors import CheckpointError
from export.task import ExportTask, ModelSpec


def _found() -> dict[str, ExportTask]:
    tasks: dict[str, ExportTask] = {}
    for module in walk_packages(export.tasks.__path__, "export.tasks."):
        if module.ispkg and find_spec(f"{module.name}.spec"):
            task = import_module(f"{module.name}.spec").TASK
            tasks[task.name] = task
    return tasks


TASKS = _found()
"""Name → task."""

CATALOG: dict[str, ModelSpec] = {spec.name: spec for task in TASKS.values() for spec in task.models}
"""Name → spec of every model that can be built: from it card, configuration and labels are generated."""


def task_of(architecture: str) -> ExportTask:
    """Return the task whose models have that architecture.

    Raises:
        CheckpointError: there is none.
    """
    return task_of_model(specs_of(architecture)[0])


def task_of_model(spec: ModelSpec) -> ExportTask:
    """Return the task that a model spec, or one changed from it, belongs to."""
    return next(task for task in TASKS.values() if any(spec.name == each.name for each in task.models))


def task_of_card(card_task: str) -> ExportTask | None:
    """Return the task whose models have cards of that task; None where there is none."""
    return next((task for task in TASKS.values() if any(spec.task == card_task for spec in task.models)), None)


def specs_of(architecture: str) -> tuple[ModelSpec, ...]:
    """Return the specs that a checkpoint of `architecture` becomes if none is named; an encoder is before its head.

    Raises:
        CheckpointError: there are none.
    """
    of_it = (spec for spec in CATALOG.values() if spec.architecture == architecture)
    if found := tuple(spec for spec in of_it if not spec.on_request):
        return found
    known = ", ".join(dict.fromkeys(spec.architecture for spec in CATALOG.values()))
    raise CheckpointError(f"no model of the catalogue is a {architecture!r}; known: {known}")
