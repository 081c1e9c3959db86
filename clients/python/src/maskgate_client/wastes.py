"""What was found on photographs of waste, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskgate_client.answers import ClassShare, Provenance, Region


@dataclass(frozen=True)
class WasteReport:
    """The waste on a photograph. Coordinates are (x, y) pixels of it, origin top left.

    Attributes:
        model: name of the model.
        width: of the photograph, in pixels.
        height: of the photograph, in pixels.
        classes: every class with its share, in the order of their values; 0 is background.
        regions: connected pieces of one class each, in reading order.
        notices: what was done to the photograph, and what to beware of.
        provenance: weights, engine and input.
        pictures: PNG files by name, those that were asked for.
        document: the JSON answer without its pictures.
    """

    model: str
    width: int
    height: int
    classes: tuple[ClassShare, ...]
    regions: tuple[Region, ...]
    notices: tuple[str, ...]
    provenance: Provenance
    pictures: Mapping[str, bytes]
    document: Mapping[str, Any]

    def pieces(self) -> dict[str, int]:
        """Return the number of regions per class name, background left out."""
        names = [share.name for share in self.classes if share.value > 0]
        return {name: sum(region.name == name for region in self.regions) for name in names}
