"""Masks of objects from clicks, boxes, polygons and strokes."""
