"""Lesions in chest CT."""
