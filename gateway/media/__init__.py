"""Bytes to arrays and back: images in, label maps and overlays out."""
