"""What the protocol asks of the gateway, by HTTP and by gRPC alike: find a model, infer, load, unload, list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.engines.base import Model, Status, Tensors, check_tried
from gateway.errors import ModelNotFound, ModelNotReady, UnloadUnshared, VersionNotFound
from gateway.http.request_path import Job, Services
from gateway.oip.request import InferRequest


@dataclass(frozen=True)
class Served:
    """What a name means: a version of a model, whether it answers, and which versions do beside it."""

    model: Model
    ready: bool
    versions: tuple[int, ...]

    def to_infer(self) -> Model:
        """Return the model.

        Raises:
            ModelNotReady: it does not answer.
        """
        if not self.ready:
            name = self.model.name
            raise ModelNotReady(f"Model {name} is not ready; GET /v1/models/{name} says why.", retry_after=5)
        return self.model


def find(services: Services, name: str, version: str | None) -> Served:
    """Return what `name` and, where it is given, `version` mean.

    Raises:
        ModelNotFound: no model is named so.
        VersionNotFound: it has no such version.
        ModelNotReady: a folder without a card that can be read; or the repository is still being read.
    """
    status = _status(services, name)
    if status.model is None:
        raise ModelNotReady(f"Model {name} has no card; GET /v1/models/{name} says why.", retry_after=5)
    ready = tuple(v.model.version for v in status.versions if v.state == "ready")
    if version is None:
        return Served(status.model, status.state == "ready", ready)
    for pinned in status.versions:
        if str(pinned.model.version) == version:
            return Served(pinned.model, pinned.state == "ready", ready)
    raise VersionNotFound("The model has no such version; GET /v1/models lists them.", pointer="/version")


def versions(services: Services, name: str | None, version: str | None) -> list[Model]:
    """Return the versions that a call means: one, all of a model, or all of all models.

    Raises:
        MaskgateError: as `find`.
    """
    if name is not None:
        found = find(services, name, version)
        if version is not None:
            return [found.model]
    statuses = [status for status in services.engine.statuses() if name in (None, status.name)]
    return [standing.model for status in statuses for standing in status.versions]


async def infer(job: Job[Any], model: Model, asked: InferRequest, inputs: Tensors) -> Tensors:
    """Return the outputs that `asked` wants.

    Not in a turn: the engine is to see as many requests at once as were admitted, and to batch them.

    Raises:
        MaskgateError: as `Engine.infer`.
    """
    with job.timeline.measure("infer"):
        names = [output.spec.name for output in asked.outputs]
        outputs = await job.services.engine.infer(model, inputs, names, job.timeline)
    job.services.telemetry.tiles.labels(model.name).inc(asked.batch)
    return outputs


@dataclass(frozen=True)
class Entry:
    """One line of the repository's index, with Triton's words for how it stands."""

    name: str
    version: str
    state: str
    reason: str


def index(services: Services, ready_alone: bool) -> list[Entry]:
    """Return what is in the repository, those unloaded too, by name."""
    entries = [
        Entry(status.name, str(standing.model.version), _STATES[standing.state], standing.reason)
        for status in services.engine.statuses()
        for standing in status.versions
    ]
    faulty = (status for status in services.engine.statuses() if not status.versions)
    entries += [Entry(status.name, "", _STATES[status.state], status.reason) for status in faulty]
    entries += [Entry(name, "", "UNAVAILABLE", "unloaded") for name in services.engine.unloaded]
    return sorted(
        (entry for entry in entries if entry.state == "READY" or not ready_alone), key=lambda e: (e.name, e.version)
    )


async def load(services: Services, name: str) -> None:
    """Bring a model in line with the repository, and with it every other; one that was unloaded is served again.

    Raises:
        ModelNotFound: the repository has none of that name.
        ModelNotReady: it does not load.
        Unavailable: the repository cannot be read.
    """
    services.engine.unloaded.discard(name)
    await services.engine.refresh()
    services.refreshes.add(1)
    find(services, name, None).to_infer()


async def unload(services: Services, name: str) -> None:
    """Serve a model no more, until it is loaded or the gateway starts anew. Requests in flight end on it.

    Raises:
        ModelNotFound: none of that name is there.
        UnloadUnshared: there are other processes, which would serve it still.
        Unavailable: the repository cannot be read.
    """
    if services.settings.server.workers > 1:
        raise UnloadUnshared("The gateway runs as several processes: take the model's folder away, and refresh.")
    if name in services.engine.unloaded:
        return
    _status(services, name)
    services.engine.unloaded.add(name)
    await services.engine.refresh()


_STATES = {"ready": "READY", "loading": "LOADING", "failed": "UNAVAILABLE"}


def _status(services: Services, name: str) -> Status:
    for status in services.engine.statuses():
        if status.name == name:
            return status
    check_tried(services.engine)
    raise ModelNotFound("No model of that name is served; GET /v1/models lists them.", pointer="/model")
