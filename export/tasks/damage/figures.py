"""Quality of a model on labelled pairs, as its card states it: every metric, beside a trivial answer's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from export.errors import EvaluationError
from export.tasks.damage.data import UNCLASSIFIED, LabelledPair
from export.tasks.damage.evaluate import Predictor, best_constant, evaluate
from export.training.metrics import CLASSES, DamageCounts
from gateway.repository.card import Digest, Figures


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


def measure(predict: Predictor, pairs: Sequence[LabelledPair], split: str, classes: int) -> Figures:
    """Return the figures of a predictor over `pairs`, next to the best answer that is the same for every pixel.

    With two `classes` only the location of buildings is judged. Un-classified buildings count as buildings and are
    left out of damage. Shows its progress.
    """
    evaluation = evaluate(predict, tqdm(pairs, unit="pair"))
    value, baseline = best_constant(pairs)
    kinds = {**dict(enumerate(CLASSES)), UNCLASSIFIED: "un-classified"}
    return Figures(
        split=split,
        images=evaluation.images,
        buildings={kinds[label]: count for label, count in evaluation.buildings.items()},
        metrics=metrics(evaluation.counts, classes),
        baseline_name=f"{CLASSES[value] if classes > 2 else 'building'} everywhere",
        baseline=metrics(baseline, classes),
        confusion=_confusion(evaluation.counts, classes),
    )


def metrics(counts: DamageCounts, classes: int) -> dict[str, float]:
    """Return every metric by name; those of damage where there are more than two classes."""
    located = counts.localisation
    values = {
        "localisation_f1": located.f1,
        "localisation_iou": located.iou,
        "localisation_precision": located.precision,
        "localisation_recall": located.recall,
        "localisation_accuracy": located.accuracy,
    }
    if classes == 2:
        return values
    for value, name in enumerate(CLASSES[1:], start=1):
        graded = counts.damage(value)
        values |= {
            f"{name}_f1": graded.f1,
            f"{name}_iou": graded.iou,
            f"{name}_precision": graded.precision,
            f"{name}_recall": graded.recall,
        }
    confusion = counts.confusion
    return values | {
        "damage_f1_harmonic_mean": counts.damage_harmonic,
        "xview2_score": counts.score,
        "pixel_accuracy": float(confusion.trace() / max(1, confusion.sum())),
    }


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


def _confusion(counts: DamageCounts, classes: int) -> tuple[tuple[int, ...], ...]:
    if classes == 2:
        located = counts.localisation
        return ((located.tn, located.fp), (located.fn, located.tp))
    return tuple(tuple(int(count) for count in row) for row in counts.confusion)
