"""Callers that go on asking a gateway, each with a picture of its own, and remember what they were told and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

import httpx
import numpy as np

from tests.support.pictures import decode, encode, noise


class Callers:
    """Ask until the context ends.

    Args:
        address: the gateway's.
        count: how many ask at once.

    Attributes:
        answers: when each answer came (monotonic seconds), and its status.
        wrong: of each 200 that is not the picture's own answer, when it came and how it differs.
        events: what the test did meanwhile, and when.
    """

    def __init__(self, address: str, count: int) -> None:
        self._address = address
        self._pairs = [_pair(n) for n in range(count)]
        self._expected = [self._ask(pair).content for pair in self._pairs]
        self._leave = threading.Event()
        self._threads = [threading.Thread(target=self._keep_asking, args=[n]) for n in range(count)]
        self.answers: list[tuple[float, int]] = []
        self.wrong: list[tuple[float, str]] = []
        self.events: list[tuple[float, str]] = []

    def __enter__(self) -> Callers:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, once every caller has its answer."""
        self._leave.set()
        for thread in self._threads:
            thread.join(60)

    def mark(self, event: str) -> float:
        """Note that the test does something now, and return when that is."""
        self.events.append((time.monotonic(), event))
        return self.events[-1][0]

    def answered_since(self, when: float) -> float:
        """Wait for a 200 that came after `when`, and return how many seconds after."""
        while True:
            came = next((then for then, status in self.answers if then > when and status == 200), None)
            if came is not None:
                return came - when
            assert time.monotonic() < when + 30, "the gateway does not find the server again"
            time.sleep(0.01)

    def story(self) -> str:
        """Return what was wrong, against what the test did: seconds since its first event."""
        lines = sorted(self.events + self.wrong)
        return "\n".join(f"{when - self.events[0][0]:7.3f} {what}" for when, what in lines)

    def _keep_asking(self, n: int) -> None:
        while not self._leave.is_set():
            answer = self._ask(self._pairs[n])
            came = time.monotonic()
            self.answers.append((came, answer.status_code))
            if answer.status_code == 200 and answer.content != self._expected[n]:
                told = difference(answer.content, self._expected, n)
                self.wrong += [(came, f"caller {n} got {told}")] if told else []
            if answer.status_code == 503:
                assert int(answer.headers["Retry-After"]) >= 1
                time.sleep(0.05)

    def _ask(self, pair: dict[str, bytes]) -> httpx.Response:
        return httpx.post(f"{self._address}/v1/damage", files=pair, headers={"Accept": "image/png"}, timeout=60)


def difference(content: bytes, expected: Sequence[bytes], n: int) -> str:
    """Return where a label map differs from the nth one expected, and which of the others it is there.

    Empty where only the files differ. The same pixels came in other bytes twice; why was not found (55,000
    encodings in six threads gave one file per map); what is asked here is whether somebody is given another's pixels.
    """
    found, own = decode(content), decode(expected[n])
    differs = found != own
    if not differs.any():
        return ""
    rows, columns = np.nonzero(differs)
    others = {m: float((found == decode(other))[differs].mean()) for m, other in enumerate(expected) if m != n}
    near = max(others, key=lambda m: others[m])
    return (
        f"{differs.sum()} of {differs.size} pixels wrong, rows {rows.min()}–{rows.max()}, columns "
        f"{columns.min()}–{columns.max()}; {others[near]:.0%} of them are those of caller {near}"
    )


def _pair(n: int) -> dict[str, bytes]:
    return {"pre": encode(noise(300, 200, seed=2 * n)), "post": encode(noise(300, 200, seed=2 * n + 1))}
