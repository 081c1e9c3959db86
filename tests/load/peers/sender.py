"""The one load generator: so many senders that each wait for their answer before they send again."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.load.bench import Request

CONCURRENCY = 8


class PeerMissing(Exception):
    """A server that is not there, or does not answer as it should; the message says why."""


Answered = tuple[float, float]
"""When an answer was there and how long it took, in seconds."""


@dataclass(frozen=True)
class Window:
    """What one window saw.

    Attributes:
        per_second: answers per second.
        latencies: seconds that each took, from the first byte sent to the last one read; none of the bare loop.
    """

    per_second: float
    latencies: tuple[float, ...] = ()


def load(url: str, request: Request, seconds: float) -> Window:
    """Keep `CONCURRENCY` requests under way for so long, and until each sender has had two answers or so.

    Raises:
        PeerMissing: an answer was not 200, or there was none.
    """
    answered: list[Answered] = []
    failures: list[str] = []
    stop = threading.Event()
    parts = urlsplit(url)

    def send() -> None:
        try:
            send_on(http.client.HTTPConnection(parts.netloc, timeout=120))
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"gave no answer under load: {type(error).__name__}")

    def send_on(connection: http.client.HTTPConnection) -> None:
        while not stop.is_set() and not failures:
            start = time.perf_counter()
            connection.request(
                "POST", f"{parts.path}?{parts.query}", request.body, {"Content-Type": request.content_type}
            )
            answer = connection.getresponse()
            answer.read()
            end = time.perf_counter()
            answered.append((end, end - start))
            if answer.status != 200:
                failures.append(f"answered {answer.status} under load")
        connection.close()

    senders = [threading.Thread(target=send, daemon=True) for _ in range(CONCURRENCY)]
    for sender in senders:
        sender.start()
    time.sleep(seconds)
    while len(answered) < 2 * CONCURRENCY and not failures:
        time.sleep(0.05)
    end = time.perf_counter()
    stop.set()
    for sender in senders:
        sender.join(120)
    if failures:
        raise PeerMissing(failures[0])
    return window([entry for entry in answered if entry[0] <= end])


def window(answered: Sequence[Answered]) -> Window:
    """Return the window of more than `CONCURRENCY` answers, without the first ones, which found the server idle."""
    counted = sorted(answered)[CONCURRENCY - 1 :]
    spent = counted[-1][0] - counted[0][0]
    return Window((len(counted) - 1) / spent, tuple(latency for _, latency in counted[1:]))
