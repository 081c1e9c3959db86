"""What a task may ask of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from gateway.errors import ModelNotFound, ModelNotReady, VersionNotFound
from gateway.repository.card import Card
from gateway.scheduling.timeline import Timeline

State = Literal["loading", "ready", "failed"]
Tensors = Mapping[str, NDArray[Any]]


def role_of(tensor: str) -> str:
    """Return what a tensor is for: its name without the `__<index>` that Triton asks of TorchScript models."""
    return tensor.split("__")[0]


@dataclass(frozen=True, eq=False)
class Model:
    """One version of one model, as requests are told about it.

    A request keeps the `Model` it was given to its end, so that what ran, its label map and its provenance belong
    together whatever a refresh does meanwhile. Compared by identity: a version loaded anew is another `Model`.
    """

    card: Card
    version: int
    digest: str

    @property
    def name(self) -> str:
        """Name of the model, as in the repository."""
        return self.card.name

    @property
    def parts(self) -> tuple[Model, ...]:
        """The models that it is composed of, in the order in which they run; none of one of the repository."""
        return ()

    def output(self, role: str) -> str:
        """Return the tensor name of the output `role`."""
        return next(t.name for t in self.card.outputs if role_of(t.name) == role)


@dataclass(frozen=True)
class VersionStatus:
    """How one version of a model stands.

    `reason` says why it is not served; where it is ready, why it is still served in its former form.
    """

    model: Model
    state: State
    reason: str = ""


@dataclass(frozen=True)
class Status:
    """How one model folder stands.

    Attributes:
        name: name of the folder.
        state: what a request meets that names no version.
        reason: why the model is not served; where it is ready, what of its folder is not.
        model: the version that answers where none is named: the newest that is ready. Where none is, the newest;
            None where the card could not be read.
        versions: every version of the card, ascending.
    """

    name: str
    state: State
    reason: str = ""
    model: Model | None = None
    versions: tuple[VersionStatus, ...] = ()


@dataclass(frozen=True)
class Refreshed:
    """What one refresh did, as sorted model names.

    Attributes:
        added: ready now, not before.
        changed: ready before and now, with another card or other ready versions.
        removed: their folders are gone.
        failed: name → why what is in the folder is not, or not all, served; also where it was so before.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    failed: Mapping[str, str]


class Engine(Protocol):
    """Runs models. Embedded and Triton engines answer alike; one contract suite holds both."""

    name: str

    @property
    def unloaded(self) -> set[str]:
        """Names of models that a refresh leaves out, as though they had no folder; the set itself, to add to."""

    @property
    def tried(self) -> bool:
        """Whether every model of the repository was tried once since the start; what is not known before may exist."""

    @property
    def transport(self) -> str:
        """How tensors reach the model: "in-process", "shared-memory" or "binary"."""

    async def start(self) -> None:
        """Load every version of every sound model of the repository, and warm it up."""

    async def close(self) -> None:
        """Release models and connections."""

    def statuses(self) -> Sequence[Status]:
        """Return the standing of every model folder, sorted by name."""

    async def refresh(self) -> Refreshed:
        """Bring what is served in line with the repository, and return what that changed.

        When it returns:

        - A new folder, a new version and a changed card are served, and were warmed up before they became ready. The
          newest ready version answers where none is named.
        - A version whose folder is gone is no longer among the versions, a model whose folder is gone no longer among
          the statuses.
        - What cannot be served in its new form stays as it was, ready with a reason: a folder that contradicts itself
          (a copy under way does) keeps every version it served; a new version that does not load leaves the others.
        - What has not changed was not loaded again.

        Meanwhile and afterwards, `infer` with a `Model` from before answers as before for as long as that version of
        that digest is in the repository. For one that was replaced or removed it either still does, or raises
        ModelNotReady; it never answers with another digest than the `Model`'s.

        Calls wait for each other.

        Raises:
            Unavailable: the repository cannot be read; what was served still is.
        """

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named `outputs` for a batch.

        Args:
            model: one that `statuses()` told as ready, now or when the request began.
            inputs: every input of its card by name, shape (N, *card shape), C-contiguous; any N ≥ 1.
            outputs: tensor names to return; others are not fetched.
            timeline: the request's deadline and stage times.

        Raises:
            DeadlineExceeded: the answer did not come in time.
            ModelNotReady: the model went away; see `refresh`.
        """


def choose(engine: Engine, task: str, name: str, version: int | None = None) -> Model:
    """Return the ready model `name` of `task`, in the version given or else the newest that is ready.

    Raises:
        ModelNotFound: no model of that name serves the task.
        VersionNotFound: it has no such version.
        ModelNotReady: it is loading, or failed to load; or the repository is still being read.
    """
    statuses = {status.name: status for status in engine.statuses()}
    status = statuses.get(name)
    if status is None:
        check_tried(engine)
    if status is None or (status.model is not None and status.model.card.task != task):
        serving = [s.name for s in statuses.values() if s.model is not None and s.model.card.task == task]
        raise ModelNotFound(
            f"No model of that name serves {task}. Models of this task: {', '.join(serving) or 'none'}.",
            pointer="/model",
        )
    if version is not None and status.model is not None:
        return _pinned(status, version)
    if status.state != "ready" or status.model is None:
        raise ModelNotReady(f"Model {name} is {status.state}; GET /v1/models/{name} says why.", retry_after=5)
    return status.model


def check_tried(engine: Engine) -> None:
    """Do nothing where a model that the engine does not name is one that there is not.

    Raises:
        ModelNotReady: it is still reading the repository.
    """
    if not engine.tried:
        raise ModelNotReady("The model repository is still being read.", retry_after=1)


def _pinned(status: Status, version: int) -> Model:
    versions = {v.model.version: v for v in status.versions}
    pinned = versions.get(version)
    if pinned is None:
        raise VersionNotFound(
            f"Model {status.name} has no version {version}. Its versions: {', '.join(map(str, versions))}.",
            pointer="/version",
        )
    if pinned.state != "ready":
        raise ModelNotReady(
            f"Version {version} of model {status.name} is {pinned.state}; GET /v1/models/{status.name} says why.",
            retry_after=5,
        )
    return pinned.model
