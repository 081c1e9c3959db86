"""What tasks there are: each says what it is in the `spec` of its room, and whatever all tasks share asks here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal, Protocol

ROOM = "gateway.tasks"
"""The package whose sub-packages are tasks."""

SERVICE_SCOPES = frozenset({"infer", "emergency", "jobs", "pacs", "admin", "metrics"})
"""What a key may be restricted to beside tasks: inference under `/v2`, the emergency lane, jobs, the DICOMweb server of
the settings, loading models, metrics."""

# What stands under /v1 beside tasks, and what a path may ask of a key beside scopes.
_TAKEN = SERVICE_SCOPES | {"any", "models", "progress", "repository", "tasks", "uploads", "required"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")

Answer = Literal["label map", "scores", "masks", "image"]
"""What an answer is in the main, so that clients and the page know how to show it."""


class HasTask(Protocol):
    """A model's card, as far as the registry reads it."""

    @property
    def task(self) -> str:
        """What the model is for."""


@dataclass(frozen=True)
class Part:
    """One part of a task's multipart body.

    Attributes:
        name: of the form field.
        description: for the API's description.
        required: whether the body must have it.
        media_types: what it may be; what it is, its bytes say.
        examples: texts that it may be, of parts that are text.
        several: whether there may be more than one of it; they are ``name``, ``name/1``, ``name/2`` and so on.
        by_reference: whether it may be JSON that names files in stores; see `gateway/stores/references.py`.
    """

    name: str
    description: str
    required: bool = True
    media_types: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    several: bool = False
    by_reference: bool = False


@dataclass(frozen=True)
class NamedModel:
    """A model that a task takes where a request names none, beside its default one: a setting `models.<name>`."""

    name: str
    default: str
    description: str


@dataclass(frozen=True)
class Texts:
    """What the API's description says of one task.

    Attributes:
        answer: of the answer with status 200, by `Accept`.
        model: of the parameter `model`.
        overlay: of the parameter `overlay`; empty: the route has none.
        include: of the parameter `include`; empty: the route has none.
        problems: by status, where a task has more to say than all have.
    """

    answer: str
    model: str = "One of the task's models"
    overlay: str = ""
    include: str = ""
    problems: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskSpec:
    """What a task is to all that serves it.

    Attributes:
        name: ``/v1/<name>``, the scope of keys, the label `task` of metrics, and the setting ``models.<name>``.
        title: one line for people.
        default_model: answers where neither request nor settings name another.
        contracts: task of a card → what raises ValueError where the card is not one of the task.
        parts: of the multipart body, in order.
        formats: media types of the answers, the default first.
        answer: what an answer is in the main.
        package: its `route` module has the `router`, and is imported only by what serves.
        texts: for the API's description.
        named_models: settings beside that of the default model.
    """

    name: str
    title: str
    default_model: str
    contracts: Mapping[str, Callable[[Any], None]]
    parts: tuple[Part, ...]
    formats: tuple[str, ...]
    answer: Answer
    package: str
    texts: Texts
    named_models: tuple[NamedModel, ...] = ()

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ValueError: no task may be named so.
        """
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            raise ValueError(f"no task may be named '{self.name}'")

    @property
    def required_parts(self) -> tuple[str, ...]:
        """Names of the parts that a body must have, in order."""
        return tuple(part.name for part in self.parts if part.required)

    @property
    def optional_parts(self) -> tuple[str, ...]:
        """Names of the parts that a body may have besides."""
        return tuple(part.name for part in self.parts if not part.required)

    @property
    def several_parts(self) -> tuple[str, ...]:
        """Names of the parts that a body may have more than once."""
        return tuple(part.name for part in self.parts if part.several)

    @property
    def models(self) -> tuple[NamedModel, ...]:
        """The settings of the task's models, the default one first."""
        return (
            NamedModel(self.name, self.default_model, f"Default model of `POST /v1/{self.name}`."),
            *self.named_models,
        )


class Registry:
    """The tasks of one gateway.

    Args:
        specs: of all of them, in the order in which they are shown.

    Raises:
        ValueError: two of them have one name, or take the same models, or have a setting in common.
    """

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        """Index the specs."""
        self.tasks: Mapping[str, TaskSpec] = {spec.name: spec for spec in specs}
        self._by_card = {task: spec for spec in specs for task in spec.contracts}
        names = [name for spec in specs for name in (f"the task {spec.name}", *_claims(spec))]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"there twice: {', '.join(sorted(twice))}")

    @staticmethod
    def discover(extra_packages: Sequence[str] = ()) -> Registry:
        """Return the tasks of the rooms under `gateway.tasks`, and of the packages named, which lie elsewhere.

        Raises:
            ValueError: a package cannot be imported or has no `spec.TASK`; or as of the class.
        """
        return _discovered(tuple(extra_packages))

    @cached_property
    def scopes(self) -> frozenset[str]:
        """What a key may be restricted to."""
        return SERVICE_SCOPES | self.tasks.keys()

    @cached_property
    def models(self) -> Mapping[str, NamedModel]:
        """The settings of the tasks' models, by name."""
        return {model.name: model for spec in self.tasks.values() for model in spec.models}

    def task_of(self, card_task: str) -> TaskSpec:
        """Return the task that takes models whose cards say `card_task`.

        Raises:
            ValueError: none does.
        """
        spec = self._by_card.get(card_task)
        if spec is None:
            raise ValueError(f"there is no task '{card_task}'; models are of {', '.join(sorted(self._by_card))}")
        return spec

    def check(self, card: HasTask) -> None:
        """Do nothing where a card's tensors, classes and what its task adds agree.

        Raises:
            ValueError: they do not, or no task takes such models.
        """
        self.task_of(card.task).contracts[card.task](card)

    def routers(self) -> list[Any]:
        """Return the router of each task; imports what they need."""
        return [import_module(f"{spec.package}.route").router for spec in self.tasks.values()]


@cache
def _discovered(extra_packages: tuple[str, ...]) -> Registry:
    inside = sorted(room.name for room in iter_modules(import_module(ROOM).__path__, f"{ROOM}.") if room.ispkg)
    return Registry([_spec_of(package) for package in (*inside, *extra_packages)])


def _spec_of(package: str) -> TaskSpec:
    try:
        spec = import_module(f"{package}.spec").TASK
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{package} is no task: {error}") from error
    if not isinstance(spec, TaskSpec):
        raise ValueError(f"{package} is no task: {package}.spec.TASK is not a TaskSpec")
    return spec


def _claims(spec: TaskSpec) -> list[str]:
    return [*(f"models of '{task}'" for task in spec.contracts), *(f"the setting models.{m.name}" for m in spec.models)]
