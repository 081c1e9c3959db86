"""When something is asked no more, and when it is again: a version of a model, or Triton itself."""

from __future__ import annotations

TOLERANCE = 5
"""Failures in a row after which it is asked no more until a probe was answered."""


class Breaker:
    """Opens at once when told to, or after `tolerance` failures without a success between them.

    Whoever owns it sends no request while it is open, probes now and then, and closes it when the probe is answered.

    Args:
        tolerance: failures in a row that open it.
    """

    def __init__(self, tolerance: int) -> None:
        """Begin open: what was never probed may not answer."""
        self._tolerance = tolerance
        self._failures = 0
        self.open = True

    def fail(self) -> None:
        """Count one failure."""
        self._failures += 1
        if self._failures >= self._tolerance:
            self.open = True

    def trip(self) -> None:
        """Open at once."""
        self.open = True

    def succeed(self) -> None:
        """Forget the failures counted. An open breaker stays open: the answer is to a request sent before."""
        self._failures = 0

    def close(self) -> None:
        """Let requests through: the probe was answered."""
        self._failures = 0
        self.open = False
