"""How a model stands, from how its versions do, and what a look into the repository changes of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from gateway.engines.base import Engine, Model, Refreshed, State, Status, VersionStatus
from gateway.errors import Unavailable
from gateway.observability.metrics import Telemetry
from gateway.repository.store import Repository


def standing(name: str, versions: Sequence[VersionStatus], fault: str = "") -> Status:
    """Return how a model stands.

    Args:
        name: name of its folder.
        versions: those of its card, or those still served from before where the folder is faulty now.
        fault: what is wrong with the folder as a whole, for an operator.
    """
    ascending = tuple(sorted(versions, key=lambda v: v.model.version))
    state = _state(ascending, fault)
    model = next((v.model for v in reversed(ascending) if v.state == state), None)
    return Status(name, state, "; ".join(_reasons(ascending, fault, state)), model, ascending)


def ready_versions(status: Status | None) -> dict[int, VersionStatus]:
    """Return the versions that serve, by number."""
    return {v.model.version: v for v in status.versions if v.state == "ready"} if status else {}


async def refreshed(
    engine: Engine,
    read: Callable[[], Awaitable[Repository]],
    take_in: Callable[[Repository], Awaitable[None]],
    telemetry: Telemetry,
) -> Refreshed:
    """Return what became of an engine's models when it took in what there is, and count it.

    Args:
        engine: who calls; what it has `unloaded` it is not given.
        read: returns the repository. Raises OSError where it cannot be read.
        take_in: brings what is served in line with one.
        telemetry: where refreshes are counted.

    Raises:
        Unavailable: the repository cannot be read.
    """
    try:
        repository = await read()
    except OSError as error:
        telemetry.refreshes.labels("failed").inc()
        raise Unavailable("The model repository cannot be read.", retry_after=5) from error
    before = engine.statuses()
    await take_in(repository.without(engine.unloaded))
    result = compare(before, engine.statuses())
    moved = result.added or result.changed or result.removed
    telemetry.refreshes.labels("failed" if result.failed else "changed" if moved else "unchanged").inc()
    return result


def compare(before: Sequence[Status], after: Sequence[Status]) -> Refreshed:
    """Return what became of the models between two calls of `Engine.statuses`."""
    old, new = ({s.name: served for s in moment if (served := _served(s))} for moment in (before, after))
    gone = {status.name for status in before} - {status.name for status in after}
    return Refreshed(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name])),
        removed=tuple(sorted(gone)),
        failed={status.name: status.reason for status in after if status.reason},
    )


def _state(versions: Sequence[VersionStatus], fault: str) -> State:
    states = {version.state for version in versions}
    if "ready" in states:
        return "ready"
    return "loading" if "loading" in states and not fault else "failed"


def _reasons(versions: Sequence[VersionStatus], fault: str, state: State) -> Iterator[str]:
    if fault:
        yield f"still serving its former form, since {fault}" if state == "ready" else fault
    for version in versions:
        if version.reason:
            yield f"version {version.model.version}: {version.reason}"


def _served(status: Status) -> dict[int, tuple[str, object]]:
    def described(model: Model) -> tuple[str, object]:
        return model.digest, model.card

    return {number: described(version.model) for number, version in ready_versions(status).items()}
