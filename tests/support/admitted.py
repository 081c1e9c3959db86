"""Requests let in without HTTP."""

from __future__ import annotations

from contextlib import AbstractContextManager

from gateway.observability.metrics import Telemetry
from gateway.observability.place import Place, tallies
from gateway.scheduling.admission import Admission, Reservation
from gateway.scheduling.lanes import Lane, Turns
from gateway.scheduling.prices import Kind, Prices
from gateway.scheduling.queue import Queue
from gateway.scheduling.timeline import Timeline

KIND = Kind("task", "model")


def new_admission(
    requests: int = 2, budget: int = 100, queue_seconds: float = 1000, place: Place | None = None
) -> Admission:
    """Return a gate with one turn behind it, on a clock that stands still."""
    telemetry = Telemetry()
    queue = Queue(Turns(1, 10), 100, telemetry)
    return Admission(requests, budget, queue_seconds, queue, Prices(lambda: 0), telemetry, tallies(place))


def admit(
    admission: Admission, length: int = 0, seconds: float = 600, lane: Lane = "bulk"
) -> AbstractContextManager[Reservation]:
    """Let in a request of `length` bytes that may take so many `seconds`."""
    return admission.admit(KIND, length, Timeline(seconds, lane))
