"""What models of several tasks have in common."""

from __future__ import annotations

from gateway.repository.card import ClassSpec

BACKGROUND = ClassSpec(value=0, name="background", colour=(0, 0, 0))
