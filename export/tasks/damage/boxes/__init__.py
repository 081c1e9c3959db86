"""Boxes of buildings with a class of damage, found in one pass."""
