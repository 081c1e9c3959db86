"""What a task may ask of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from gateway.errors import ModelNotFound, ModelNotReady
from gateway.ops.timeline import Timeline
from gateway.repository.card import Card

State = Literal["loading", "ready", "failed"]
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """One version of one model, as requests are told about it."""

    card: Card
    version: int
    digest: str

    @property
    def name(self) -> str:
        """Name of the model, as in the repository."""
        return self.card.name

    def output(self, role: str) -> str:
        """Return the tensor name of the output `role`.

        TorchScript models carry Triton's `<name>__<index>` output names.
        """
        return next(t.name for t in self.card.outputs if t.name.split("__")[0] == role)


@dataclass(frozen=True)
class Status:
    """How one model folder stands. `model` is None where its card could not be read."""

    name: str
    state: State
    reason: str = ""
    model: Model | None = None


class Engine(Protocol):
    """Runs models. Embedded and Triton engines answer alike; one contract suite holds both."""

    name: str

    @property
    def transport(self) -> str:
        """How tensors reach the model: "in-process", "shared-memory" or "binary"."""

    async def start(self) -> None:
        """Load every sound model of the repository, and warm it up."""

    async def close(self) -> None:
        """Release models and connections."""

    def statuses(self) -> Sequence[Status]:
        """Return the standing of every model folder, sorted by name."""

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named `outputs` for a batch.

        Args:
            model: one of `statuses()`, in state ready.
            inputs: every input of its card by name, shape (N, *card shape), C-contiguous; any N ≥ 1.
            outputs: tensor names to return; others are not fetched.
            timeline: the request's deadline and stage times.

        Raises:
            DeadlineExceeded: the answer did not come in time.
            ModelNotReady: the model went away.
        """


def choose(engine: Engine, task: str, name: str) -> Model:
    """Return the ready model `name` of `task`.

    Raises:
        ModelNotFound: no model of that name serves the task.
        ModelNotReady: it is loading, or failed to load.
    """
    statuses = {status.name: status for status in engine.statuses()}
    status = statuses.get(name)
    if status is None or (status.model is not None and status.model.card.task != task):
        serving = [s.name for s in statuses.values() if s.model is not None and s.model.card.task == task]
        raise ModelNotFound(
            f"No model of that name serves {task}. Models of this task: {', '.join(serving) or 'none'}.",
            pointer="/model",
        )
    if status.state != "ready" or status.model is None:
        raise ModelNotReady(f"Model {name} is {status.state}; GET /v1/models/{name} says why.", retry_after=5)
    return status.model
