"""How a model stands, from how its versions do, and what has changed between two moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.engines.base import Model, Refreshed, State, Status, VersionStatus


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
