"""Figures of labelled slices against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from export.tasks.ct.metrics import SliceCounts, as_one, metrics
from export.training.metrics import mean_iou

NAMES = ("background", "ground-glass", "consolidation", "pleural effusion")
TRUTH = np.array([[0, 0, 0, 0, 1], [1, 1, 1, 2, 2]], np.uint8)
PREDICTION = np.array([[0, 0, 0, 1, 0], [1, 1, 2, 2, 2]], np.uint8)
EMPTY = np.zeros((2, 5), np.uint8)


def counted(*pairs: tuple[np.ndarray, np.ndarray]) -> SliceCounts:
    counts = SliceCounts(4)
    for prediction, truth in pairs:
        counts.add(prediction, truth)
    return counts


def test_confusion_has_the_truth_in_rows() -> None:
    assert counted((PREDICTION, TRUTH)).confusion.tolist() == [[3, 1, 0, 0], [1, 2, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]


def test_mean_iou_leaves_out_what_is_nowhere() -> None:
    confusion = counted((PREDICTION, TRUTH)).confusion
    # Overlap over union: background 3/5, ground-glass 2/5, consolidation 2/3; there is no effusion.
    assert mean_iou(confusion) == pytest.approx((3 / 5 + 2 / 5 + 2 / 3) / 3)
    assert mean_iou(confusion, background=False) == pytest.approx((2 / 5 + 2 / 3) / 2)
    assert mean_iou(counted((EMPTY, EMPTY)).confusion, background=False) == 1


def test_a_lesion_of_the_wrong_kind_is_an_infection_all_the_same() -> None:
    whole = as_one(counted((PREDICTION, TRUTH)).confusion, (1, 2, 3))
    assert (whole.tp, whole.fp, whole.fn, whole.tn) == (5, 1, 1, 3)


def test_figures_of_all_pixels_and_by_slice() -> None:
    missed = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], np.uint8)
    found = metrics(counted((PREDICTION, TRUTH), (EMPTY, missed), (EMPTY, EMPTY)), NAMES)
    assert found["infection_dsc"] == pytest.approx(2 * 5 / (2 * 5 + 1 + 2))
    assert found["infection_sensitivity"] == pytest.approx(5 / 7)
    assert found["infection_specificity"] == pytest.approx(22 / 23)
    # The third slice holds no lesion and none is found: a Dice of 1, and no sensitivity.
    assert found["infection_dsc_per_slice"] == pytest.approx((10 / 12 + 0 + 1) / 3)
    assert found["infection_sensitivity_per_slice"] == pytest.approx((5 / 6 + 0) / 2)
    assert found["infection_specificity_per_slice"] == pytest.approx((3 / 4 + 1 + 1) / 3)
    assert found["ground-glass_dsc"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 3))
    assert found["consolidation_sensitivity"] == 1
    assert not [name for name in found if name.startswith("pleural")], "the truth holds none"


def test_without_a_slice_that_has_any_lesion_there_is_no_sensitivity() -> None:
    found = metrics(counted((EMPTY, EMPTY)), NAMES)
    assert found["infection_dsc"] == found["miou"] == found["miou_without_background"] == 1
    assert found["infection_sensitivity_per_slice"] == 0


def test_shapes_have_to_agree() -> None:
    with pytest.raises(ValueError, match="truth is"):
        SliceCounts(4).add(EMPTY, EMPTY[:1])
