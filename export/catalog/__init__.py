"""Every model that `export` can build: one entry each, from which card, configuration and labels are generated."""

from __future__ import annotations

from export.catalog.clicks import CLICKED
from export.catalog.ct import CT
from export.catalog.damage import DAMAGE
from export.catalog.films import FILMS
from export.catalog.waste import WASTE
from export.entries import DamageEntry, Entry, FilmEntry, SliceEntry, WasteEntry
from export.errors import CheckpointError

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


def damage_entry_of(architecture: str) -> DamageEntry:
    """Return the entry that serves checkpoints of `architecture`, a network of damage.

    Raises:
        CheckpointError: it is of another task.
    """
    for entry in entries_of(architecture):
        if isinstance(entry, DamageEntry):
            return entry
    raise CheckpointError(f"a {architecture} grades no damage")


def slice_entry_of(architecture: str) -> SliceEntry:
    """Return the entry that labels slices with checkpoints of `architecture`.

    Raises:
        CheckpointError: it is of another task.
    """
    for entry in entries_of(architecture):
        if isinstance(entry, SliceEntry):
            return entry
    raise CheckpointError(f"a {architecture} labels no slices")


def waste_entry_of(architecture: str) -> WasteEntry:
    """Return the entry that labels photographs with checkpoints of `architecture`.

    Raises:
        CheckpointError: it is of another task.
    """
    for entry in entries_of(architecture):
        if isinstance(entry, WasteEntry):
            return entry
    raise CheckpointError(f"a {architecture} labels no waste")


def film_entry_of(architecture: str) -> FilmEntry:
    """Return the entry that scores films with checkpoints of `architecture`.

    Raises:
        CheckpointError: it is of another task.
    """
    for entry in entries_of(architecture):
        if isinstance(entry, FilmEntry):
            return entry
    raise CheckpointError(f"a {architecture} scores no radiographs")
