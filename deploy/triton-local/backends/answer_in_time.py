"""Ends a model's process before it could answer late.

Triton 2.51 gives a batch up when the process that runs it shows no sign of life for a second, which a busy machine is
enough for. It starts no other process, and takes the answer that comes after all for that of the next batch: callers
get each other's results, until the server crashes. A process that has ended gives no answer; the gateway then has
Triton load the model anew.
"""

from __future__ import annotations

import signal
import threading
import time

_PATIENCE_SECONDS = 0.5
"""Shorter than what Triton waits for a sign of life, 0.7 s at least: the sign comes every 0.3 s."""

_TICK_SECONDS = 0.1


def answer_in_time_or_end() -> None:
    """From now on have the kernel end this process when it has stood still for half a second.

    The kernel does, by SIGALRM, since a process that goes on after a standstill may answer before any thread of its own
    has seen what the time is. Nothing in it may hold the interpreter's lock for as long.
    """
    threading.Thread(target=_postpone_the_end, name="answer-in-time", daemon=True).start()


def _postpone_the_end() -> None:
    while True:
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS)
        time.sleep(_TICK_SECONDS)
