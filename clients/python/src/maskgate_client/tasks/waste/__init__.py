"""Waste on photographs."""
