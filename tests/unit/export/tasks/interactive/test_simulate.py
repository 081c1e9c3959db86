"""Simulated clicks lie in the middle of the larger error, and clicks to a wanted IoU are counted as RITM counts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.errors import DataError
from export.evaluation.engine import Bench
from export.tasks.interactive.benchmark import (
    NOISE,
    Step,
    Trace,
    boundary_iou,
    iou,
    judge,
    mean_ious,
    obeyed,
    setbacks,
    trace,
    traces,
)
from export.tasks.interactive.data import read_objects
from export.tasks.interactive.evaluate import card_figures, metrics, save_plot, table
from export.tasks.interactive.methods import tool_methods
from export.tasks.interactive.simulate import Click, likely_click, likely_inside, next_click


def rectangle(y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((40, 40), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_next_click_is_in_the_middle_of_what_is_missed() -> None:
    assert next_click(rectangle(0, 0, 0, 0), rectangle(10, 21, 10, 21)) == Click(15, 15, True)


def test_the_next_click_is_in_the_middle_of_what_is_too_much() -> None:
    truth = rectangle(10, 21, 0, 15)
    assert next_click(truth | rectangle(10, 21, 20, 31), truth) == Click(25, 15, False)


def test_the_border_of_the_image_is_an_edge() -> None:
    click = next_click(rectangle(0, 0, 0, 0), rectangle(0, 11, 0, 11))
    assert click == Click(5, 5, True)


def test_the_larger_error_is_the_deeper_one() -> None:
    predicted, truth = rectangle(0, 40, 0, 3), rectangle(10, 20, 20, 30)
    assert next_click(predicted, truth).positive  # type: ignore[union-attr]


def test_there_is_no_click_without_an_error() -> None:
    mask = rectangle(5, 9, 5, 9)
    assert next_click(mask, mask) is None
    assert likely_click(mask, mask, np.random.default_rng(0)) is None
    assert next_click(mask, rectangle(0, 0, 0, 0), void=mask) is None


@given(seed=st.integers(0, 999))
def test_a_hand_clicks_inside_the_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((2, 12, 12)) > 0.5
    click = likely_click(predicted, truth, rng)
    assert click is not None
    wrong = truth & ~predicted if click.positive else predicted & ~truth
    assert wrong[click.y, click.x]
    x, y = likely_inside(truth, rng)
    assert truth[y, x]


def test_clicks_are_counted_with_the_first_ones() -> None:
    found = Trace("one", first=3, steps=tuple(map(Step, (0.5, 0.86, 0.7, 0.95))))
    assert found.clicks_to(0.4) == 3
    assert found.clicks_to(0.85) == 4
    assert found.clicks_to(0.9) == 6
    assert found.clicks_to(0.99) == 20


def test_iou_does_not_count_void_pixels() -> None:
    truth, predicted, void = rectangle(0, 10, 0, 10), rectangle(0, 10, 0, 20), rectangle(0, 10, 10, 20)
    assert iou(predicted, truth, rectangle(0, 0, 0, 0)) == 0.5
    assert iou(predicted, truth, void) == 1
    assert iou(rectangle(0, 0, 0, 0), rectangle(0, 0, 0, 0), void) == 1


def test_a_boundary_is_two_percent_of_the_diagonal_deep() -> None:
    # The diagonal of 40 × 40 is 57 pixels, so boundaries are a pixel deep: 4 · 9 and 4 · 8 pixels, 17 of them shared.
    one, other, void = rectangle(10, 20, 10, 20), rectangle(10, 19, 10, 19), rectangle(0, 0, 0, 0)
    assert boundary_iou(one, other, void) == 17 / (36 + 32 - 17)
    assert boundary_iou(one, one, void) == 1


def test_pixels_are_counted_in_all_and_by_class() -> None:
    truth, predicted = rectangle(0, 10, 0, 10), rectangle(0, 10, 0, 5)
    step = judge(predicted, truth, rectangle(0, 0, 0, 0), [Click(2, 2, True), Click(7, 7, True), Click(30, 30, False)])
    assert (step.overall, step.per_class) == (1550 / 1600, 0.75)
    assert (step.clicks, step.obeyed) == (3, 2)


def test_clicks_that_make_a_mask_worse_are_counted() -> None:
    found = [Trace("one", 3, tuple(Step(iou, clicks=at, obeyed=at) for at, iou in enumerate((0.5, 0.8, 0.7, 0.9))))]
    assert [fall > NOISE for fall in setbacks(found)] == [False, True, False]
    assert max(setbacks(found)) == pytest.approx(0.1)
    assert obeyed(found) == (3, 3)


def test_every_tool_finds_a_plain_object(objects: Path) -> None:
    labelled = read_objects(objects)[0]
    with Bench([]) as bench:
        for method in tool_methods(bench):
            found = trace(bench, method, labelled, further=4)
            assert len(found.ious) == (5 if method.refines else 1), method.name
            assert found.ious[-1] > (0.7 if method.name == "box" else 0.8), method.name


def test_the_report_has_a_line_per_method_and_a_plot(objects: Path, tmp_path: Path) -> None:
    labelled = read_objects(objects)
    with Bench([]) as bench:
        results = {method.name: traces(bench, method, labelled, 5) for method in tool_methods(bench)}
    lines = table(results).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["box", "grabcut", "watershed", "polygon"]
    assert f"{mean_ious(results['grabcut'])[0]:.3f}" in lines[2]
    save_plot(results, tmp_path / "plot.png")
    plot = cv2.imread(str(tmp_path / "plot.png"))
    assert plot is not None
    assert plot.std() > 0
    figures = card_figures("val", results["watershed"], "GrabCut", results["grabcut"])
    assert figures.images == len(labelled)
    assert figures.metrics == metrics(results["watershed"])
    assert "mean IoU after 3 clicks" in figures.metrics
    assert "mean IoU after 2 clicks" in figures.baseline


def test_objects_are_read_with_and_without_a_manifest(objects: Path) -> None:
    listed = read_objects(objects)
    assert [each.split for each in listed] == ["train"] * 3 + ["val"] * 2
    assert listed[0].read_image().shape == (90, 120, 3)
    assert set(np.unique(listed[0].read_labels())) == {0, 255}
    # The object is green: the channels are in the order of RGB.
    assert listed[0].read_image()[45, 60].argmax() == 1
    (objects / "manifest.csv").unlink()
    assert {each.split for each in read_objects(objects)} == {"val"}


def test_what_cannot_be_read_is_said(objects: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        read_objects(tmp_path)
    (objects / "masks" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture"):
        read_objects(objects)[0].read_labels()
    (objects / "masks" / "0.png").unlink()
    with pytest.raises(DataError, match="missing file"):
        read_objects(objects)
    (objects / "manifest.csv").write_text("id,split\n")
    with pytest.raises(DataError, match="image, mask"):
        read_objects(objects)
