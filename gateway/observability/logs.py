"""How log lines look: text for people, or one JSON object each for machines.

A record may carry what its message says to people as ``extra={"fields": {"status": 200, …}}`` for machines: members of
the JSON object.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

from gateway.observability import tracing
from gateway.settings import LogSettings

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request being served; set at its begin, in its own task, and gone with that."""


def configure(settings: LogSettings) -> None:
    """Let every logger of the process, and Python's warnings, write to standard error in the form of the settings."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    logging.captureWarnings(True)


def ending_quietly(run: Callable[[], int]) -> int:
    """Return the exit status of a command; where who reads its output has gone, that of one that ended by SIGPIPE."""
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written would be written when the process ends, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def silence_addresses() -> None:
    """Let httpx log nothing: what it does are addresses, in which a study or a file is named."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC, ISO 8601), level, logger, message, request_id and trace_id, fields, stack."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (served := request_id.get()) is not None:
            line["request_id"] = served
        if (span := tracing.current()) is not None:
            line["trace_id"] = span.trace_id
        fields: Mapping[str, object] = getattr(record, "fields", {})
        line |= {key: value for key, value in fields.items() if key not in line}
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def where(error: BaseException) -> str:
    """Return what kind of error it is and where it was raised, and the same of each that led to it.

    Neither its words nor the values of variables, because both may quote what a caller has sent.
    """
    return "\n".join(_stack(error))


def _stack(error: BaseException) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _stack(cause)
    yield f"{type(error).__module__}.{type(error).__qualname__}, raised in"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno} {frame.name}"
