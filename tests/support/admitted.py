"""Requests let in without HTTP."""

from __future__ import annotations

from contextlib import AbstractContextManager

from gateway.ops.admission import Admission, Reservation
from gateway.ops.lanes import Lane
from gateway.ops.pricing import Kind
from gateway.ops.timeline import Timeline

KIND = Kind("task", "model")


def admit(
    admission: Admission, length: int = 0, seconds: float = 600, lane: Lane = "bulk"
) -> AbstractContextManager[Reservation]:
    """Let in a request of `length` bytes that may take so many `seconds`."""
    return admission.admit(KIND, length, Timeline(seconds, lane))
