"""What is fixed about a model before it is trained, per task."""

from __future__ import annotations

from export.entries.base import OUTPUTS, Tensors, as_named_in
from export.entries.clicks import FEATURES, ClickEntry
from export.entries.crops import CropEntry
from export.entries.ct import SliceEntry
from export.entries.damage import DamageEntry

Entry = DamageEntry | CropEntry | ClickEntry | SliceEntry

__all__ = [
    "FEATURES",
    "OUTPUTS",
    "ClickEntry",
    "CropEntry",
    "DamageEntry",
    "Entry",
    "SliceEntry",
    "Tensors",
    "as_named_in",
]
