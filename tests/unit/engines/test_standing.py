"""A model's standing follows from that of its versions."""

from __future__ import annotations

import pytest

from gateway.engines.base import Model, State, Status, VersionStatus
from gateway.engines.standing import compare, standing
from gateway.repository.card import Card, read_card
from tests.support.trivial import write_trivial_model


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return read_card(write_trivial_model(tmp_path_factory.mktemp("repository"), "m") / "card.json")


def versions(card: Card, *states: State) -> list[VersionStatus]:
    """Return versions 1, 2, … in the states given; a failed one has the reason `broken`."""
    return [
        VersionStatus(Model(card, number, f"digest-{number}"), state, "broken" if state == "failed" else "")
        for number, state in enumerate(states, 1)
    ]


@pytest.mark.parametrize(
    ("states", "fault", "state", "version", "reason"),
    [
        ((), "labels.txt is missing", "failed", None, "labels.txt is missing"),
        (("ready", "ready"), "", "ready", 2, ""),
        (("ready", "loading"), "", "ready", 1, ""),
        (("loading", "loading"), "", "loading", 2, ""),
        (("failed", "loading"), "", "loading", 2, "version 1: broken"),
        (("ready", "failed"), "", "ready", 1, "version 2: broken"),
        (("failed", "failed"), "", "failed", 2, "version 1: broken; version 2: broken"),
        (("ready",), "it is torn", "ready", 1, "still serving its former form, since it is torn"),
    ],
)
def test_the_newest_ready_version_answers(
    card: Card, states: tuple[State, ...], fault: str, state: State, version: int | None, reason: str
) -> None:
    status = standing("m", versions(card, *states)[::-1], fault)
    assert (status.state, status.model and status.model.version, status.reason) == (state, version, reason)
    assert [v.model.version for v in status.versions] == list(range(1, len(states) + 1))


def test_models_are_compared_by_what_answers(card: Card) -> None:
    def statuses(**states: tuple[State, ...]) -> list[Status]:
        return [standing(name, versions(card, *each)) for name, each in states.items()]

    before = statuses(gone=("ready",), same=("ready",), more=("ready",), back=("failed",), out=("failed",))
    after = statuses(same=("ready",), more=("ready", "ready"), back=("ready",), new=("ready",), bad=("failed",))
    result = compare(before, after)
    assert result.added == ("back", "new")
    assert result.changed == ("more",)
    assert result.removed == ("gone", "out")
    assert result.failed == {"bad": "version 1: broken"}
