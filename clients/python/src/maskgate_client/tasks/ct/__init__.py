"""Lesions in CT of the chest."""
