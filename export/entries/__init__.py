"""What is fixed about a model before it is trained, per task."""

from __future__ import annotations

from export.entries.base import OUTPUTS, Tensors, as_named_in
from export.entries.clicks import FEATURES, ClickEntry
from export.entries.ct import SliceEntry
from export.entries.damage import DamageEntry
from export.entries.films import FilmEntry
from export.entries.waste import WasteEntry

Entry = DamageEntry | ClickEntry | SliceEntry | FilmEntry | WasteEntry

__all__ = [
    "FEATURES",
    "OUTPUTS",
    "ClickEntry",
    "DamageEntry",
    "Entry",
    "FilmEntry",
    "SliceEntry",
    "Tensors",
    "WasteEntry",
    "as_named_in",
]
