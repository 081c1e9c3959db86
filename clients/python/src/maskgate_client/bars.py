"""Bars on a terminal of how far a call is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never

from tqdm import tqdm

from maskgate_client.progress import Progress, Tell


@contextmanager
def bar(unit: str) -> Iterator[Tell]:
    """Yield what a call takes as `progress`: a bar of the bytes sent, then one of what is done, in `unit`s.

    On a terminal only, and gone in the end.
    """
    bars = _Bars(unit)
    try:
        yield bars.show
    finally:
        bars.close()


class _Bars:
    """One bar at a time."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._sending = False
        self._bar: tqdm[Never] | None = None

    def show(self, step: Progress) -> None:
        """Move the bar, or begin the next."""
        bar, sending = self._bar, step.stage == "send"
        if bar is None or sending != self._sending:
            self.close()
            unit = "B" if sending else self._unit
            bar = tqdm(total=step.total, unit=unit, unit_scale=sending, disable=None, leave=False)
            self._bar, self._sending = bar, sending
        bar.total = step.total
        # Counted anew where the files are sent again.
        bar.update(step.done - bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
