"""When to send a refused request again."""

from __future__ import annotations

from dataclasses import dataclass

from maskgate_client.errors import Busy


@dataclass(frozen=True)
class Retry:
    """How patient a client is with a busy gateway.

    Only `Busy` (429, 503) is tried again, since only then is it certain that the upload was not processed.

    Attributes:
        attempts: how often a request is sent at most; 1 never sends again.
        longest_wait: seconds; an error that asks for a longer wait is raised at once.
    """

    attempts: int = 4
    longest_wait: float = 30.0

    def wait(self, problem: Busy, attempt: int) -> float | None:
        """Return the seconds to wait after the `attempt`-th try (from 1) met `problem`, or None to give up.

        The gateway's own Retry-After counts; without one it is 0.5 s, doubled with every try.
        """
        seconds = 0.5 * 2 ** (attempt - 1) if problem.retry_after is None else float(problem.retry_after)
        return seconds if attempt < self.attempts and seconds <= self.longest_wait else None
