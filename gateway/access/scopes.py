"""Which scope a key needs for which path."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TypeGuard

from gateway.access.keys import Caller
from gateway.errors import Forbidden

ANY = "any"
"""What a path needs that takes any key."""

_NEEDED: Mapping[tuple[str, ...], str] = {
    ("v1", "models"): ANY,
    ("v1", "progress"): ANY,
    ("v1", "tasks"): ANY,
    ("v1", "repository"): "admin",
    ("v2",): ANY,
    ("v2", "health"): ANY,
    ("v2", "models"): "infer",
    ("v2", "repository"): "admin",
}
"""By the first two steps of a path; of a task it is the task's name."""

_READING = frozenset({"GET", "HEAD"})


def scope_needed(method: str, path: str, tasks: Container[str]) -> str | None:
    """Return what a path under `/v1` or `/v2` asks of a key, a scope or `ANY`; None where that is not known.

    Args:
        method: of the request.
        path: of the request.
        tasks: the names of all of them.
    """
    room, *rest = path[1:].split("/")[:2]
    if (room, *rest) == ("v2", "models") and method in _READING:
        # Metadata, configuration and readiness, which /v1/models shows too.
        return ANY
    if room == "v1" and rest and rest[0] in tasks:
        return rest[0]
    return _NEEDED.get((room, *rest))


def costs(needed: str | None) -> TypeGuard[str]:
    """Return whether it is a task or an operation that is asked for, and not a look at what there is."""
    return needed is not None and needed != ANY


def check_scope(caller: Caller, needed: str | None) -> None:
    """Do nothing where the caller's key opens what asks for `needed`.

    Raises:
        Forbidden: the key lacks the scope; or it has scopes, and what is needed is not known.
    """
    if needed is None and caller.scopes is not None:
        raise Forbidden("None of the scopes of this key opens this path.")
    if costs(needed) and not caller.may(needed):
        raise Forbidden(f"This key lacks the scope '{needed}'.", members={"scope": needed})
