"""The board of running requests."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.errors import RequestNotFound
from gateway.scheduling.timeline import ProgressBoard, Timeline


def test_a_request_is_shown_as_long_as_it_runs_and_to_its_tenant_alone() -> None:
    board, timeline = ProgressBoard(), Timeline(60)
    with suppress(OSError), board.shown("one", "r", timeline):
        assert board.of("one", "r") is timeline
        with pytest.raises(RequestNotFound):
            board.of("two", "r")
        raise OSError
    with pytest.raises(RequestNotFound):
        board.of("one", "r")


def test_of_two_of_one_id_the_later_is_shown_also_when_the_earlier_ends() -> None:
    board, earlier, later = ProgressBoard(), Timeline(60), Timeline(60)
    first = board.shown("one", "r", earlier)
    first.__enter__()
    with board.shown("one", "r", later):
        assert board.of("one", "r") is later
        first.__exit__(None, None, None)
        assert board.of("one", "r") is later
    with pytest.raises(RequestNotFound):
        board.of("one", "r")
