"""One recipe out of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """What a recipe is known by."""

    @property
    def network(self) -> str:
        """The architecture."""

    @property
    def name(self) -> str:
        """The recipe's own name."""


R = TypeVar("R", bound=Named)


def choose(recipes: Sequence[R], network: str, name: str) -> R:
    """Return the recipe of that network and name.

    Raises:
        ValueError: there is none.
    """
    for candidate in recipes:
        if (candidate.network, candidate.name) == (network, name):
            return candidate
    known = ", ".join(f"{candidate.network} {candidate.name}" for candidate in recipes)
    raise ValueError(f"no recipe {name!r} for {network!r}; known: {known}")
