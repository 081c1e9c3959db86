"""Models of a repository, opened by the path of their folder."""

from __future__ import annotations

from pathlib import Path

from export.errors import EvaluationError
from gateway.repository.store import StoredModel, scan


def sound_model(folder: Path) -> StoredModel:
    """Return the model in a repository's folder.

    Raises:
        EvaluationError: there is none, or it is not sound; the message says why.
    """
    folder = folder.resolve()
    repository = scan(folder.parent)
    model = repository.models.get(folder.name)
    if model is None:
        reasons = [fault.reason for fault in repository.faults if fault.model == folder.name]
        raise EvaluationError(f"{folder.name} is not a sound model: {'; '.join(reasons)}")
    return model
