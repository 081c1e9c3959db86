"""What came of every request of a load: a row each, as far as a load of days lets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Lane = Literal["emergency", "bulk"]
Outcome = Literal["answered", "late", "refused", "expired", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("answered", "late", "refused", "expired", "failed")
"""Right and in time; right, but past the deadline; 429 or 503; 504 of a request with a deadline; anything else."""

_MOST = 1_000_000


@dataclass(slots=True)
class Record:
    """One request.

    Attributes:
        task: as reports name it.
        lane: of the gateway.
        due: when it was to be sent, in seconds since the load began.
        lag: how much later it was sent, by no fault of the gateway.
        refusals: answers of 429 and 503, those among them after which the caller tried again.
        outcome: what became of it; None while it is under way.
        seconds: from when it was due to the last byte of its answer.
    """

    task: str
    lane: Lane
    due: float
    lag: float
    refusals: int = 0
    outcome: Outcome | None = None
    seconds: float = 0.0


class Records:
    """Rows, up to a million of them; what comes later is counted, and not kept.

    Attributes:
        dropped: how many were not kept.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.dropped = 0
        self._rows: list[Record] = []

    def add(self, record: Record) -> Record:
        """Keep a request that is being sent, and return it."""
        if len(self._rows) < _MOST:
            self._rows.append(record)
        else:
            self.dropped += 1
        return record

    def to_json(self) -> dict[str, list[Any]]:
        """Return a list per attribute."""
        return {name: [getattr(row, name) for row in self._rows] for name in Record.__slots__}
