"""Comparisons of radiographs in which telling archives does not help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.errors import DataError
from export.tasks.radiograph.archives import Comparison, comparisons
from export.tasks.radiograph.data import LabelledRadiograph


def film(label: str, source: str, split: str = "val") -> LabelledRadiograph:
    return LabelledRadiograph(Path(f"{label}.png"), label, split, source)


FILMS = [
    film("COVID-19", "papers"),
    film("COVID-19", "papers", "train"),
    film("NORMAL", "hospital"),
    film("NORMAL", "hospital"),
    film("NORMAL", "papers"),
    film("other", "papers", "train"),
    film("other", "hospital", "train"),
    film("other", "hospital"),
]


def test_each_comparison_is_of_films_that_no_model_learnt_and_of_one_archive_or_one_finding() -> None:
    found = [(np.flatnonzero(each.higher).tolist(), np.flatnonzero(each.lower).tolist()) for each in comparisons(FILMS)]
    assert found == [([0], [2, 3, 4]), ([6, 7], [2, 3]), ([0], [5]), ([5], [6, 7])]


def test_scores_that_tell_archives_alone_shine_where_archives_tell_classes_and_nowhere_else() -> None:
    archive = np.array([each.source == "papers" for each in FILMS], np.float64)
    aucs = [each.auc(archive) for each in comparisons(FILMS)]
    assert aucs == [pytest.approx(5 / 6), 0.5, 0.5, 1.0]


def test_an_order_turned_over_is_below_a_half() -> None:
    some = Comparison("any", np.array([True, False, False]), np.array([False, True, True]))
    assert some.auc(np.array([0.1, 0.2, 0.05])) == 0.5


def test_without_films_on_both_sides_there_is_no_comparison() -> None:
    with pytest.raises(DataError, match="no films for other findings"):
        comparisons([each for each in FILMS if each.label != "other"])
