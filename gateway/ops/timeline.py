"""Where one request's time went, and how much of it is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from gateway.errors import DeadlineExceeded

Stage = Literal["receive", "queue", "decode", "infer", "finish", "encode"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Timeline:
    """Seconds per stage of one request, and its deadline.

    Stages of one request may overlap (a row of tiles is gathered while another is
    inferred), so their sum can exceed the time that passed.

    Args:
        seconds: time the whole request may take, from now.
    """

    def __init__(self, seconds: float) -> None:
        """Start the clock."""
        self._deadline = time.monotonic() + seconds
        self.seconds: dict[Stage, float] = {}
        self.stage: Stage = "receive"

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the time spent inside to `stage`, also where it is left by an exception."""
        self.stage = stage
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def add(self, stage: Stage, seconds: float) -> None:
        """Add `seconds` to `stage`."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def remaining(self) -> float:
        """Return the seconds left.

        Raises:
            DeadlineExceeded: none are.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("The request took longer than its deadline allows.")
        return left

    def server_timing(self) -> str:
        """Return the `Server-Timing` header's value: milliseconds per stage, in the order of `STAGES`."""
        return ", ".join(f"{stage};dur={self.seconds[stage] * 1000:.2f}" for stage in STAGES if stage in self.seconds)
