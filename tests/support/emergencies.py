"""Requests in the emergency lane, while something else happens."""

from __future__ import annotations

import threading
import time

import httpx


class Emergencies:
    """Asks for the waste on a photograph in the emergency lane as long as it lives, wherever the gateway is just now.

    Attributes:
        address: of the gateway; empty while there is none.
        answers: status and seconds of each that was answered.
    """

    def __init__(self, photo: bytes, deadline: float) -> None:
        self.address = ""
        self.answers: list[tuple[int, float]] = []
        self._photo = photo
        self._deadline = deadline
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Emergencies:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ask no more, and return once the last answer is there."""
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        headers = {"Maskgate-Priority": "emergency", "Maskgate-Deadline": str(self._deadline)}
        while not self._over.wait(0.1):
            start = time.monotonic()
            try:
                answer = httpx.post(
                    f"{self.address}/v1/waste", files={"image": self._photo}, headers=headers, timeout=60
                )
            except (httpx.TransportError, httpx.UnsupportedProtocol):
                continue  # it was killed, or is not there yet
            self.answers.append((answer.status_code, time.monotonic() - start))
