"""The sums of growth: an area in pairs and nodes, and the simulation against what theory says of one queue."""

from __future__ import annotations

import pytest

from tests.load.growth import measured, nodes_for, pairs_of, simulated


def test_an_area_is_so_many_pairs_and_nodes() -> None:
    assert pairs_of(1024**2 * 0.25 / 1e6, 0.5) == 1
    assert pairs_of(100_000, 0.5) == 381_470
    assert nodes_for(381_470, 10, 24) == 1
    assert nodes_for(381_470, 1, 24) == 5


@pytest.mark.parametrize(("share", "waiting"), [(0.5, 1 / 3), (0.8, 0.64 / 0.36)])
def test_one_node_waits_as_long_as_the_theory_of_queues_says(share: float, waiting: float) -> None:
    """Two servers, random arrivals and times of work (M/M/2): the mean wait is ρ² / (1 − ρ²)."""
    assert simulated(1, share, requests=60_000, spread=1).mean == pytest.approx(waiting, rel=0.15)


def test_more_nodes_wait_less_at_the_same_share() -> None:
    waits = [simulated(nodes, 0.9, requests=20_000).mean for nodes in (1, 4, 16)]
    assert waits[0] > 2 * waits[1] > 4 * waits[2]


def test_what_a_node_does_was_measured() -> None:
    assert measured()["bd-siamunet"] > 1
