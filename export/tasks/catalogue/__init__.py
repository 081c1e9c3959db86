"""Every model that `export` can build: one entry each, from which card, configuration and labels are generated."""

from __future__ import annotations

from typing import TypeVar

from export.errors import CheckpointError
from export.tasks.base import CatalogEntry
from export.tasks.ct.catalogue import CT
from export.tasks.damage.catalogue import DAMAGE
from export.tasks.interactive.catalogue import CLICKED
from export.tasks.radiograph.catalogue import FILMS
from export.tasks.specs import Entry
from export.tasks.waste.catalogue import WASTE

E = TypeVar("E", bound=CatalogEntry)

CATALOG: dict[str, Entry] = {entry.name: entry for entry in (*DAMAGE, *CLICKED, *CT, *FILMS, *WASTE)}
"""Name → entry."""


def entries_of(architecture: str) -> tuple[Entry, ...]:
    """Return the entries that a checkpoint of `architecture` becomes if none is named; an encoder is before its head.

    Raises:
        CheckpointError: there are none.
    """
    of_it = (entry for entry in CATALOG.values() if entry.architecture == architecture)
    if found := tuple(entry for entry in of_it if not entry.on_request):
        return found
    known = ", ".join(dict.fromkeys(entry.architecture for entry in CATALOG.values()))
    raise CheckpointError(f"no model of the catalogue is a {architecture!r}; known: {known}")


def entry_of(architecture: str, kind: type[E]) -> E:
    """Return the entry of a kind that serves checkpoints of `architecture`.

    Raises:
        CheckpointError: it is of another task.
    """
    for entry in entries_of(architecture):
        if isinstance(entry, kind):
            return entry
    raise CheckpointError(f"a {architecture} {kind.not_done}")
