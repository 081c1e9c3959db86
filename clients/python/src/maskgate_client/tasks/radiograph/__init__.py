"""Scores of radiographs of the chest."""
