"""What the commands of `export` refuse, in one tree; every message is written for the person at the terminal.

ExportError
├── CheckpointError    a file cannot be used as a checkpoint
├── BuildError         a checkpoint cannot become this model
├── ParityError        an exported file answers otherwise than the network
├── DataError          a data set's folder cannot be read
└── EvaluationError    there is nothing to evaluate, or a file holds no figures
"""

from __future__ import annotations


class ExportError(Exception):
    """Base of everything a command ends with."""


class CheckpointError(ExportError):
    """A file cannot be used as a checkpoint; the message says why, key by key where keys are at fault."""


class BuildError(ExportError):
    """A checkpoint cannot become this model."""


class ParityError(ExportError):
    """An exported file answers otherwise than the network; the message names the worst comparison."""


class DataError(ExportError):
    """A data set's folder cannot be read; the message names the file at fault."""


class EvaluationError(ExportError):
    """There is nothing to evaluate, or a file holds no figures."""
