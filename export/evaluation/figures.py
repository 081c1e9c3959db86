"""Figures of a model: as `evaluate` saves them for its card, and as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from export.errors import EvaluationError
from gateway.repository.card import Digest
from gateway.repository.record import Figures


class Measurement(BaseModel):
    """What `evaluate` saves and `build` puts into the card: figures, and the checkpoint they are true of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source_digest: Digest
    figures: tuple[Figures, ...]


def read_measurement(path: Path) -> Measurement:
    """Read the figures that `evaluate` saved.

    Raises:
        EvaluationError: the file cannot be read or is something else.
    """
    try:
        return Measurement.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise EvaluationError(f"{path.name} holds no figures of `python -m export evaluate`") from error


def report(figures: Figures, names: Sequence[str], counts: str = "pixels") -> str:
    """Return the figures as a table for people; `names` are those of the classes, `counts` what the confusion has."""
    counted = ", ".join(f"{count} {name}" for name, count in figures.buildings.items() if count)
    lines = [f"{figures.split}: {figures.images} images" + (f"; buildings: {counted}" if counted else ""), ""]
    lines += _table(figures.metrics, figures.baseline, figures.baseline_name)
    side = max(14, *(len(name) + 2 for name in names))
    lines += [
        "",
        f"{counts}, truth down, prediction across:",
        " " * side + "".join(f"{name:>{side}}" for name in names),
    ]
    rows = zip(names, figures.confusion, strict=True)
    lines += [f"{name:{side}}" + "".join(f"{count:{side}}" for count in row) for name, row in rows]
    return "\n".join(lines)


def _table(values: Mapping[str, float], baseline: Mapping[str, float], baseline_name: str) -> list[str]:
    side = max(26, *(len(name) + 1 for name in values))
    head = f"{'':{side}}{'model':>8}  {baseline_name}"
    return [head, *(f"{name:{side}}{value:8.4f}  {baseline[name]:.4f}" for name, value in values.items())]
