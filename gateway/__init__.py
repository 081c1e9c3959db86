"""Maskgate's gateway: images in, masks and class scores out, over one model repository."""

__version__ = "0.2.0"
