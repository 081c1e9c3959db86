"""Figures of scores of films: does the film show COVID-19?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from export.training.metrics import Binary


def counted(scores: NDArray[np.floating], values: NDArray[np.integer], threshold: float) -> Binary:
    """Return the counts of "COVID-19", in films.

    Args:
        scores: (N,) P(COVID-19).
        values: (N,) label values, 0 is COVID-19.
        threshold: the least score of a film that is called COVID-19.
    """
    called, true = scores >= threshold, values == 0
    cells = {(t, c): int(((true == t) & (called == c)).sum()) for t in (True, False) for c in (True, False)}
    return Binary(tp=cells[True, True], fp=cells[False, True], fn=cells[True, False], tn=cells[False, False])


def metrics(scores: NDArray[np.floating], values: NDArray[np.integer], threshold: float) -> dict[str, float]:
    """Return every figure by name; precision, recall, specificity and F1 are those of COVID-19.

    Args and shapes are those of `counted`; films of both classes are needed.
    """
    counts = counted(scores, values, threshold)
    return {
        "auc": float(roc_auc_score(values == 0, scores)),
        "accuracy": counts.accuracy,
        "precision": counts.precision,
        "recall": counts.recall,
        "specificity": counts.specificity,
        "f1": counts.f1,
    }
