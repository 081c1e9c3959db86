"""What the log has of a request that failed."""

from __future__ import annotations

import json
import logging

import pytest

from gateway.observability.logs import JsonFormatter
from tests.api.conftest import Start


def test_a_failure_is_told_by_where_it_was_and_not_by_its_words(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start()

    def statuses() -> None:
        raise RuntimeError("of Jane-Doe.png")

    monkeypatch.setattr(client.services.engine, "statuses", statuses)
    with caplog.at_level(logging.INFO):
        answer = client.get("/v1/models", headers={"X-Request-ID": "r-42"})
    assert answer.status_code == 500
    (failure,) = (record for record in caplog.records if record.levelno == logging.ERROR and "r-42" in record.message)
    assert "builtins.RuntimeError, raised in" in failure.message
    stack = json.loads(JsonFormatter().format(failure))["stack"]
    assert f"{__file__}:" in stack
    assert stack.splitlines()[-1].endswith(" statuses")
    assert "Jane" not in caplog.text + answer.text
