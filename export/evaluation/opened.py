"""What `evaluate` is given: checkpoints, model folders, or a repository; opened, and of one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.evaluation.engine import Served, of_checkpoint, of_folder
from export.registry import TASKS, task_of, task_of_card
from export.task import ExportTask
from gateway.engines.base import Model
from gateway.repository.store import Repository, StoredModel, file_digest, scan


@dataclass(frozen=True)
class Opened:
    """Models of one task.

    Attributes:
        task: theirs.
        served: the models, after what they run on.
        models: those that were asked for.
    """

    task: ExportTask
    served: tuple[Served, ...]
    models: tuple[Model, ...]


def open_models(paths: Sequence[Path]) -> Opened:
    """Return what paths name: checkpoint files, model folders, or a repository for those of its models that can be.

    Raises:
        CheckpointError: a file is no checkpoint.
        EvaluationError: a folder holds no sound model, models have one name or several tasks, or theirs is none that
            evaluates several.
    """
    opened = [of_file(path) if path.is_file() else _of_folder(path.resolve()) for path in paths]
    models = tuple(model for each in opened for model in each.models)
    tasks = list(dict.fromkeys(each.task.name for each in opened))
    task = opened[0].task
    if len(paths) > 1 and (len(tasks) > 1 or not task.jointly):
        together = " or ".join(each.subject for each in TASKS.values() if each.jointly)
        raise EvaluationError(f"several models are measured together of {together} alone")
    if len({model.name for model in models}) < len(models):
        raise EvaluationError(f"models have one name: {', '.join(model.name for model in models)}")
    return Opened(task, tuple(served for each in opened for served in each.served), models)


def sound_model(folder: Path, repository: Repository | None = None) -> StoredModel:
    """Return the model in a repository's folder.

    Raises:
        EvaluationError: there is none, or it is not sound; the message says why.
    """
    folder = folder.resolve()
    repository = repository or scan(folder.parent)
    model = repository.models.get(folder.name)
    if model is None:
        reasons = [fault.reason for fault in repository.faults if fault.model == folder.name]
        raise EvaluationError(f"{folder.name} is not a sound model: {'; '.join(reasons) or 'there is none'}")
    return model


def of_file(file: Path, *, exported: bool = False) -> Opened:
    """Return the model of a checkpoint file, run by torch or, `exported`, by ONNX Runtime.

    Raises:
        CheckpointError: it is none.
    """
    checkpoint = read_checkpoint(file)
    served = of_checkpoint(checkpoint, file_digest(file), exported=exported)
    # An encoder is asked by its head alone.
    return Opened(task_of(checkpoint.architecture), tuple(served), (served[-1].model,))


def of_stored(task: ExportTask, repository: Repository) -> list[Opened]:
    """Return the models of a task in a repository, by name; an encoder is asked by its head alone."""
    asked = task.pooled or task.models[0].task
    found = []
    for name in sorted(repository.models):
        if repository.models[name].card.task == asked:
            served = _with_encoder(repository.models[name], repository)
            found.append(Opened(task, tuple(served), (served[-1].model,)))
    return found


def joined(opened: Sequence[Opened]) -> Opened:
    """Return models of one task as those that are evaluated together; one encoder may serve several."""
    served = {each.model.name: each for one in opened for each in one.served}
    return Opened(opened[0].task, tuple(served.values()), tuple(model for one in opened for model in one.models))


def _of_folder(folder: Path) -> Opened:
    if not (folder / "card.json").is_file() and folder.is_dir() and (found := _of_repository(folder)):
        return found
    repository = scan(folder.parent)
    stored = sound_model(folder, repository)
    task = task_of_card(stored.card.task)
    if task is None:
        raise EvaluationError(f"{stored.name} is of the task {stored.card.task}, which nothing here evaluates")
    served = _with_encoder(stored, repository)
    return Opened(task, tuple(served), (served[-1].model,))


def _of_repository(folder: Path) -> Opened | None:
    repository = scan(folder)
    for task in TASKS.values():
        if task.pooled and (stored := of_stored(task, repository)):
            return joined(stored)
    return None


def _with_encoder(stored: StoredModel, repository: Repository) -> list[Served]:
    """Return a model, after its encoder of the same version where it has one."""
    encoder = stored.card.clicks.encoder if stored.card.clicks else None
    if encoder is None:
        return [of_folder(stored)]
    found = sound_model(stored.directory.parent / encoder, repository)
    if stored.newest not in found.versions:
        raise EvaluationError(f"{encoder}, the encoder of {stored.name}, has no version {stored.newest}")
    return [of_folder(found, stored.newest), of_folder(stored)]
