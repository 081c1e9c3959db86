"""What is known of the ground beside images: within which bounds heights count, and what classes of cover there are."""

from __future__ import annotations

ELEVATION, SURFACE = (-500.0, 9000.0), (-50.0, 1000.0)
"""Metres that heights lie between; what does not is missing, and so is what is no number."""

COVER = ("open ground", "building", "road", "tree", "water")
"""Land cover by value, as models of land cover answer it; other values are missing."""
