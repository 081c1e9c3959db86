"""Which scope a key needs for which path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeGuard

from gateway.access.keys import Caller
from gateway.errors import Forbidden
from gateway.settings import Scope

Needed = Scope | Literal["any"]
"""What a path asks of a key; any: no more than being one."""

_NEEDED: Mapping[tuple[str, ...], Needed] = {
    ("v1", "damage"): "damage",
    ("v1", "ct"): "ct",
    ("v1", "radiograph"): "radiograph",
    ("v1", "waste"): "waste",
    ("v1", "interactive"): "interactive",
    ("v1", "models"): "any",
    ("v1", "progress"): "any",
    ("v1", "repository"): "admin",
    ("v2",): "any",
    ("v2", "health"): "any",
    ("v2", "models"): "infer",
    ("v2", "repository"): "admin",
}
"""By the first two steps of a path."""

_READING = frozenset({"GET", "HEAD"})


def scope_needed(method: str, path: str) -> Needed | None:
    """Return what a path under `/v1` or `/v2` asks of a key; None where that is not known."""
    steps = tuple(path[1:].split("/")[:2])
    if steps == ("v2", "models") and method in _READING:
        # Metadata, configuration and readiness, which /v1/models shows too.
        return "any"
    return _NEEDED.get(steps)


def costs(needed: Needed | None) -> TypeGuard[Scope]:
    """Return whether it is a task or an operation that is asked for, and not a look at what there is."""
    return needed is not None and needed != "any"


def check_scope(caller: Caller, needed: Needed | None) -> None:
    """Do nothing where the caller's key opens what asks for `needed`.

    Raises:
        Forbidden: the key lacks the scope; or it has scopes, and what is needed is not known.
    """
    if needed is None and caller.scopes is not None:
        raise Forbidden("None of the scopes of this key opens this path.")
    if costs(needed) and not caller.may(needed):
        raise Forbidden(f"This key lacks the scope '{needed}'.", members={"scope": needed})
