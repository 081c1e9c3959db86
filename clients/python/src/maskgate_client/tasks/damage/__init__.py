"""Damage maps of pairs of satellite images."""
