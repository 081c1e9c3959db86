"""What is fixed about a model before it is trained, per task."""

from __future__ import annotations

from export.tasks.base import OUTPUTS, Tensors, as_named_in
from export.tasks.building.spec import CropEntry
from export.tasks.ct.spec import SliceEntry
from export.tasks.damage.spec import DamageEntry
from export.tasks.interactive.spec import FEATURES, ClickEntry
from export.tasks.radiograph.spec import FilmEntry
from export.tasks.waste.spec import WasteEntry

Entry = DamageEntry | CropEntry | ClickEntry | SliceEntry | FilmEntry | WasteEntry

__all__ = [
    "FEATURES",
    "OUTPUTS",
    "ClickEntry",
    "CropEntry",
    "DamageEntry",
    "Entry",
    "FilmEntry",
    "SliceEntry",
    "Tensors",
    "WasteEntry",
    "as_named_in",
]
