"""What the commands' arguments may be."""

from __future__ import annotations

import argparse


def natural(text: str) -> int:
    """Return a number that may be 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def positive(text: str) -> int:
    """Return a number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def side(text: str) -> int:
    """Return the side of a network's crop or slice."""
    value = int(text)
    if value < 32 or value % 16:
        raise argparse.ArgumentTypeError("must be a multiple of 16, and at least 32")
    return value


def share(text: str) -> float:
    """Return a number between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value
