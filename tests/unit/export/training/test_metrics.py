"""Figures against hand-counted cases and published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from export.tasks.damage.metrics import DamageCounts, best_constant, harmonic_mean, xview2_score
from export.tasks.damage.metrics import count as evaluate
from export.training.metrics import Binary

TARGET = np.array([[0, 0, 1, 1], [2, 2, 3, 255], [4, 4, 4, 0]], np.uint8)
PREDICTION = np.array([[0, 1, 1, 2], [2, 0, 3, 1], [4, 4, 1, 0]], np.uint8)


class OnePair:
    """A pair of grey images with the labels given."""

    def __init__(self, labels: NDArray[np.uint8]) -> None:
        self.labels = labels

    def read_pre(self) -> NDArray[np.uint8]:
        return np.zeros((*self.labels.shape, 3), np.uint8)

    read_post = read_pre

    def read_labels(self) -> NDArray[np.uint8]:
        return self.labels


def count(unclassified_as: int | None = None) -> DamageCounts:
    counts = DamageCounts(unclassified_as)
    counts.add(PREDICTION, TARGET)
    return counts


def test_localisation_is_counted_over_all_pixels() -> None:
    # Buildings: 9 of 12 pixels, one of them missed; one false alarm. The un-classified pixel is a building.
    assert count().localisation == Binary(tp=8, fp=1, fn=1, tn=2)


def test_damage_is_counted_on_target_buildings_only() -> None:
    # The background pixel predicted 1 is no false positive of class 1, the missed pixel of class 2 is a false negative.
    assert count().damage(1) == Binary(tp=1, fp=1, fn=1, tn=5)
    assert count().damage(2) == Binary(tp=1, fp=1, fn=1, tn=5)
    assert count().damage(3) == Binary(tp=1, fp=0, fn=0, tn=7)
    assert count().damage(4) == Binary(tp=2, fp=0, fn=1, tn=5)


def test_unclassified_may_count_as_undamaged() -> None:
    assert count(unclassified_as=1).damage(1) == Binary(tp=2, fp=1, fn=1, tn=5)
    assert count(unclassified_as=1).localisation == count().localisation


def test_confusion_has_targets_in_rows() -> None:
    assert count().confusion.tolist() == [
        [2, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 1, 0, 0, 2],
    ]


def test_binary_figures() -> None:
    figures = Binary(tp=6, fp=2, fn=4, tn=8)
    assert figures.precision == 0.75
    assert figures.recall == 0.6
    assert figures.f1 == pytest.approx(2 / 3)
    assert figures.iou == 0.5
    assert figures.accuracy == 0.7


def test_figures_without_any_positive_are_zero() -> None:
    nothing = Binary(tp=0, fp=0, fn=0, tn=5)
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.iou) == (0, 0, 0, 0)


def test_published_harmonic_mean_and_score() -> None:
    """DAHiTra's table: its class F1 give 0.795 (it prints 0.796), and with localisation 0.872 the score 0.818."""
    harmonic = harmonic_mean([0.978, 0.711, 0.765, 0.772])
    assert round(harmonic, 3) == 0.795
    assert round(xview2_score(0.872, harmonic), 3) == 0.818


def test_one_missed_class_annuls_the_harmonic_mean() -> None:
    assert harmonic_mean([0.9, 0.9, 0.9, 0.0]) == pytest.approx(4e-6, rel=0.01)


@given(
    arrays.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 3, 4, 255])),
    arrays.arrays(np.uint8, (6, 7), elements=st.integers(0, 4)),
)
def test_counts_add_up_over_parts_of_an_image(target: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
    whole, parts = DamageCounts(), DamageCounts()
    whole.add(prediction, target)
    for row in range(6):
        parts.add(prediction[row], target[row])
    assert (whole.matrix == parts.matrix).all()
    assert whole.matrix.sum() == target.size
    binary = whole.localisation
    assert binary.f1 == pytest.approx(2 * binary.iou / (1 + binary.iou))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(3, 4\)"):
        DamageCounts().add(np.zeros((2, 2), np.uint8), TARGET)


def test_evaluation_counts_images_and_buildings() -> None:
    evaluation = evaluate(lambda pre, post: TARGET * (TARGET < 5), [OnePair(TARGET), OnePair(TARGET)])
    assert evaluation.images == 2
    assert evaluation.buildings == {1: 2, 2: 2, 3: 2, 4: 2, 255: 2}
    assert evaluation.counts.damage_f1 == (1, 1, 1, 1)


def test_best_constant_is_the_commonest_building_class() -> None:
    value, counts = best_constant([OnePair(TARGET)])
    assert value == 4
    assert counts.localisation == Binary(tp=9, fp=3, fn=0, tn=0)
