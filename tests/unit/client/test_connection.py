from __future__ import annotations

from maskgate_client import Busy, Retry


def test_waits_double_where_the_gateway_names_none_and_follow_it_where_it_does() -> None:
    policy = Retry(attempts=4, longest_wait=30)
    unknown = Busy(status=503, code="c", title="t")
    told = Busy(status=503, code="c", title="t", retry_after=30)
    assert [policy.wait(unknown, attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, None]
    assert policy.wait(told, 1) == 30.0
    assert policy.wait(told, 4) is None
