"""Log lines: JSON for machines, text for people, and nothing of a caller in either."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from gateway.observability import logs, tracing
from gateway.settings import LogSettings

LOG = logging.getLogger("gateway.somewhere")


class FixedSpan:
    """A span of a trace that is known."""

    trace_id, sampled = "0af7651916cd43dd8448eb211c80319c", True
    traceparent = f"00-{trace_id}-b7ad6b7169203331-01"

    def child(self, name: str, attributes: tracing.Attributes) -> FixedSpan:
        return self

    def name(self, name: str, attributes: tracing.Attributes) -> None:
        pass

    def end(self, failure: str | None) -> None:
        pass


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)  # `force` closes those it finds
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.endswith("\n")
    return text.rstrip("\n")


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    line: dict[str, object] = json.loads(last_line(capsys))
    return line


def in_json() -> None:
    logs.configure(LogSettings(format="json"))


def test_a_line_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    in_json()
    before = datetime.now(UTC)
    LOG.warning("two\nlines of %s", "ümlaut", extra={"fields": {"status": 200, "route": "/v1/damage"}})
    line = logged(capsys)
    time = datetime.fromisoformat(str(line.pop("time")))
    assert time.utcoffset() is not None
    assert abs((time - before).total_seconds()) < 60
    assert line == {
        "level": "WARNING",
        "logger": "gateway.somewhere",
        "message": "two\nlines of ümlaut",
        "status": 200,
        "route": "/v1/damage",
    }


def test_a_line_names_its_request_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    in_json()
    token = logs.request_id.set("r-42")
    with tracing.within(FixedSpan()):
        LOG.info("within")
    logs.request_id.reset(token)
    assert logged(capsys).items() >= {"request_id": "r-42", "trace_id": FixedSpan.trace_id}.items()
    LOG.info("outside")
    assert logged(capsys).keys().isdisjoint({"request_id", "trace_id"})


def test_fields_do_not_hide_what_every_line_has(capsys: pytest.CaptureFixture[str]) -> None:
    in_json()
    LOG.info("the message", extra={"fields": {"message": "another", "level": "loud", "when": datetime(2026, 1, 1)}})
    assert logged(capsys).items() >= {"message": "the message", "level": "INFO"}.items()


def test_an_exception_is_a_stack_without_the_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    in_json()
    secret = "Jane" + "-" + "Doe"
    try:
        raise ValueError("of an operator's own file")
    except ValueError:
        LOG.exception("failed")
    line = logged(capsys)
    assert "test_logs.py" in str(line["stack"])
    assert "ValueError: of an operator's own file" in str(line["stack"])
    assert secret not in str(line["stack"])


def test_other_loggers_and_warnings_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    in_json()
    logging.getLogger("uvicorn.error").error("of uvicorn")
    assert logged(capsys)["logger"] == "uvicorn.error"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("of a library", stacklevel=1)
    assert "of a library" in str(logged(capsys)["message"])


def test_text_is_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings())
    LOG.info("answered", extra={"fields": {"status": 200, "route": "/v1/damage"}})
    assert last_line(capsys).endswith(" INFO gateway.somewhere answered")
    LOG.debug("not at this level")
    assert capsys.readouterr().err == ""


def test_where_an_error_came_from_is_told_without_its_words() -> None:
    def fails() -> None:
        patient = "Jane-Doe"
        try:
            int(patient)
        except ValueError as error:
            raise RuntimeError(f"of {patient}") from error

    with pytest.raises(RuntimeError) as caught:
        fails()
    told = logs.where(caught.value)
    assert told.index("builtins.ValueError") < told.index("builtins.RuntimeError")
    assert f"{__file__}:" in told
    assert "fails" in told
    assert "Jane" not in told
