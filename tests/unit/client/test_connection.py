from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from maskgate_client import Busy, Retry
from maskgate_client.connection import arguments
from maskgate_client.progress import Tell
from maskgate_client.tasks.ct.protocol import ct


def test_waits_double_where_the_gateway_names_none_and_follow_it_where_it_does() -> None:
    policy = Retry(attempts=4, longest_wait=30)
    unknown = Busy(status=503, code="c", title="t")
    told = Busy(status=503, code="c", title="t", retry_after=30)
    assert [policy.wait(unknown, attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, None]
    assert policy.wait(told, 1) == 30.0
    assert policy.wait(told, 4) is None


@pytest.mark.parametrize("progress", [None, lambda step: None])
def test_files_go_out_in_pieces(progress: Tell | None) -> None:
    """Of a body in one piece httpcore copies the rest at every send."""
    data = bytes(3 << 20)
    call = replace(ct(data), progress=progress)
    with httpx.Client(base_url="http://gateway") as client:
        pieces = [len(piece) for piece in client.build_request(**arguments(call)).stream]  # type: ignore[union-attr]
    assert sum(pieces) > len(data)
    assert max(pieces) <= 1 << 16
