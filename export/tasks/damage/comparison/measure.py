"""Figures, time and size of models on the same pairs, in one run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from export.graphs.runners import Pixels
from export.tasks.damage.comparison.models import Contestant
from export.tasks.damage.data import LabelledPair
from export.tasks.damage.evaluate import Predictor, best_constant, evaluate
from export.tasks.damage.figures import metrics
from export.training.metrics import CLASSES

_PIXELS = 1024 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Row(_Part):
    """One model.

    Attributes:
        name: its name.
        metrics: see `export.tasks.damage.figures.metrics`; those of location alone where it grades no damage.
        seconds: median time for a pair of 1024×1024 pixels, tiling and blending included; None of a constant.
        size: bytes of its files.
        parameters: of its networks.
    """

    name: str
    metrics: dict[str, float]
    seconds: float | None = None
    size: int = 0
    parameters: int = 0


class Comparison(_Part):
    """All models on one split.

    Attributes:
        split: its name.
        pairs: how many it has.
        rows: the models, and last the best answer that is the same for every pixel.
        buildings: model that grades crops → its figures over the true footprints, each building counting once; last
            the commonest grade for all.
    """

    split: str
    pairs: int
    rows: tuple[Row, ...]
    buildings: dict[str, dict[str, float]]


def measured(models: Iterable[Contestant], pairs: Sequence[LabelledPair]) -> list[Row]:
    """Return the models' rows, and that of the best constant. Shows its progress."""
    rows = []
    for model in models:
        timed = _Timed(model.predict)
        counts = evaluate(timed, tqdm(pairs, desc=model.name, unit="pair", leave=False)).counts
        figures = metrics(counts, model.classes)
        rows.append(
            Row(
                name=model.name,
                metrics=figures,
                seconds=median(timed.seconds),
                size=model.size,
                parameters=model.parameters,
            )
        )
    value, baseline = best_constant(pairs)
    return [*rows, Row(name=f"{CLASSES[value]} everywhere", metrics=metrics(baseline, len(CLASSES)))]


class _Timed:
    """A predictor that keeps how long it took for each pair, after one that nobody counts."""

    def __init__(self, predict: Predictor) -> None:
        self._predict = predict
        self._warm = False
        self.seconds: list[float] = []

    def __call__(self, pre: Pixels, post: Pixels) -> Pixels:
        if not self._warm:
            self._predict(pre, post)
            self._warm = True
        start = time.perf_counter()
        labels = self._predict(pre, post)
        self.seconds.append((time.perf_counter() - start) * _PIXELS / labels.size)
        return labels
