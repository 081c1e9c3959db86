"""A click is a promise: every one is honoured, nothing else changes, and one that is honoured changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.vision.clicks import as_points
from gateway.vision.promises import honoured

NOWHERE = as_points([])
PIXELS = st.tuples(st.integers(0, 39), st.integers(0, 29))


def slope() -> NDArray[np.uint8]:
    """Return probabilities (30, 40) that fall from left to right: 255 to 0."""
    return np.broadcast_to(np.linspace(255, 0, 40), (30, 40)).astype(np.uint8)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(PIXELS, max_size=6),
    st.lists(PIXELS, max_size=6),
    st.sampled_from([0.3, 1.0, 3.0]),
    st.booleans(),
)
def test_every_click_is_honoured_where_no_other_says_the_contrary(
    seed: int, inside: list[tuple[int, int]], outside: list[tuple[int, int]], radius: float, known: bool
) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (30, 40), np.uint8)
    mask = values > 127
    kept = honoured(mask, as_points(inside), as_points(outside), radius, values if known else None)
    for (x, y), wanted in [*((click, True) for click in inside), *((click, False) for click in outside)]:
        if (x, y) not in (outside if wanted else inside):
            assert kept[y, x] == wanted


@given(st.integers(0, 2**32 - 1), PIXELS, st.booleans())
def test_nothing_changes_far_from_a_click(seed: int, click: tuple[int, int], wanted: bool) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (30, 40), np.uint8)
    clicks = (as_points([click]), NOWHERE) if wanted else (NOWHERE, as_points([click]))
    kept = honoured(values > 127, *clicks, 2.0, values)
    rows, columns = np.nonzero(kept != (values > 127))
    assert (np.hypot(columns - click[0], rows - click[1]) <= 8).all()
    assert all(kept[row, column] == wanted for row, column in zip(rows, columns, strict=True))


def test_a_mask_that_keeps_its_promises_is_left_alone() -> None:
    values = slope()
    mask = values > 127
    assert honoured(mask, as_points([(3, 3)]), as_points([(38, 3)]), 3.0, values) is mask


def test_what_is_as_likely_as_the_click_comes_with_it() -> None:
    values = slope()
    mask = values > 127
    grown = honoured(mask, as_points([(24, 15)]), NOWHERE, 2.0, values)
    assert grown[15, 20:25].all(), "the gap between object and click is closed"
    assert grown[15, 25:27].all(), "the disc of the click"
    assert not grown[15, 27:].any()
    assert grown[10, 20], "and what lies as near"
    shrunk = honoured(mask, NOWHERE, as_points([(17, 15)]), 2.0, values)
    assert not shrunk[15, 17:].any()
    assert shrunk[15, :15].all()


def test_where_the_network_is_sure_of_the_contrary_the_disc_alone_changes() -> None:
    values = slope()
    grown = honoured(values > 127, as_points([(37, 15)]), NOWHERE, 2.0, values)
    assert (grown != (values > 127)).sum() == 13


@pytest.mark.parametrize("radius", [0.0, 5.0])
def test_what_is_nearer_to_another_click_is_its_own(radius: float) -> None:
    nothing = np.zeros((30, 40), np.bool_)
    kept = honoured(nothing, as_points([(20, 15)]), as_points([(22, 15)]), radius)
    assert kept[15, 20]
    assert not kept[15, 21:].any()


def test_clicks_outside_the_grid_are_passed_over() -> None:
    mask = np.zeros((30, 40), np.bool_)
    assert honoured(mask, as_points([(-1, 3), (40, 3), (3, 30)]), NOWHERE, 2.0) is mask
