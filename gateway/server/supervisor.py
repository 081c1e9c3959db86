"""One gateway in several processes: a supervisor that starts them, replaces those that die, and sees them out.

Why our own. `uvicorn.supervisors.Multiprocess` runs uvicorn's own server and not ours, starts a process that fails at
once again and again without a pause, asks nobody to leave twice, and leaves its processes behind when it is killed.
gunicorn 27 with uvicorn's worker was tried on this app. It replaced a stopped worker after 5.1 s at `--timeout 4`; that
is here now too. It lost what `deploy/README.md` promises: on SIGTERM the port closed at once, so `/readyz` never said
503; both workers lived on when the arbiter was killed; a worker has no number that its successor takes, so budgets and
counters cannot be shared and each worker told metrics of its own; and where no worker came up it showed a traceback of
each and ended with status 3.

A process that still runs but whose event loop does not turn, because it is stopped or a call blocks it, answers nobody
and is alive to the system. Its beat in shared memory stands still, and the supervisor kills and replaces it.

The supervisor answers nothing itself and imports nothing that does; how connections reach the processes, see
gateway/server/accepting.py.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Protocol

from gateway.observability.place import Place, SharedMemory
from gateway.observability.shared_metrics import vacate
from gateway.settings import ServerSettings

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a dead process is replaced: the first time, and at most, when they died again and again."""

STEADY_SECONDS = 60.0
"""How long a process must have lived for its end to be none of a row."""

TRIES = 2
"""How often every process fails before the supervisor gives up, where none ever came up."""

BEAT_SECONDS = 1.0
"""How often a process says that its event loop turns."""

_KILL_SECONDS = 10.0
_ORDERLY = (0, -signal.SIGTERM)  # the latter: asked to leave before it could listen to that

_log = logging.getLogger(__name__)


class Process(Protocol):
    """What the supervisor sees of a process."""

    pid: int

    def greeting(self) -> str:
        """Return its greeting; empty until its models are loaded."""

    def status(self) -> int | None:
        """Return its exit status, negative for the signal that killed it; None while it lives."""

    def beat(self) -> int:
        """Return a number that changes as long as its event loop turns; 0 until that begins."""

    def send(self, number: int) -> None:
        """Send it a signal; one that has ended already is no error."""

    def close(self) -> None:
        """Let go of what is left of an ended process."""


@dataclass
class _Berth:
    """A place, and the process that is there."""

    number: int
    process: Process | None = None
    greeting: str = ""
    since: float = 0.0
    failures: int = 0
    due: float = 0.0
    beat: int = 0
    beaten: float = 0.0


class Supervisor:
    """Keeps `count` processes running until it is told to leave.

    Args:
        count: how many.
        start: starts the process of a number, 0 to `count` - 1.
        vacate: called with the number of a process that has ended, before another begins.
        greet: called once, with a greeting, when all processes have loaded their models; one that waits for its next
            try is not waited for.
        patience: seconds from the word to leave until those that are still there are killed.
        hang_seconds: a process whose beat stands still for so long is killed, and replaced as one that died.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        count: int,
        start: Callable[[int], Process],
        vacate: Callable[[int], None],
        greet: Callable[[str], None],
        patience: float,
        hang_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start nothing yet."""
        self._berths = [_Berth(number) for number in range(count)]
        self._start = start
        self._vacate = vacate
        self._greet = greet
        self._patience = patience
        self._hang_seconds = hang_seconds
        self._look_seconds = hang_seconds / 4
        self._looked = clock()
        self._clock = clock
        self._came_up = False
        self._greeted = False
        self._leave_by: float | None = None
        self.exit_status = 0

    @property
    def processes(self) -> list[Process]:
        """Those that live, or whose end was not seen yet."""
        return [berth.process for berth in self._berths if berth.process]

    @property
    def finished(self) -> bool:
        """Whether it was told to leave and everybody has."""
        return self._leave_by is not None and not self.processes

    def step(self) -> float:
        """Do what is due; return the seconds until something will be."""
        now = self._clock()
        # Where the machine stood still, and with it the supervisor, beats say nothing about the time before.
        away, self._looked = now - self._looked > 2 * self._look_seconds, now
        for berth in self._berths:
            if berth.process:
                self._listen(berth, berth.process, now, away)
                self._look_after(berth, berth.process, now)
        self._give_up_where_hopeless()
        if self._leave_by is None:
            for berth in self._berths:
                if not berth.process and berth.due <= now:
                    berth.process, berth.since = self._start(berth.number), now
                    berth.beat, berth.beaten = 0, now
            self._greet_where_all_are_up()
        elif self._leave_by <= now:
            self._leave_by = now + self._patience
            for process in self.processes:
                _log.error("process %d did not leave in time and is killed", process.pid)
                process.send(signal.SIGKILL)
        if self._leave_by is not None:
            return self._leave_by - now
        pauses = [berth.due - now for berth in self._berths if not berth.process]
        if self.processes:
            pauses.append(self._look_seconds)
        return max(0.0, min(pauses))

    def leave(self, number: int) -> None:
        """Pass a signal on, and replace nobody any more.

        A process that has not come up holds no request, and may not listen to signals yet: to it, SIGTERM is an end
        without a traceback.
        """
        if self._leave_by is None:
            self._leave_by = self._clock() + self._patience
        for berth in self._berths:
            if berth.process:
                berth.process.send(number if berth.greeting else signal.SIGTERM)

    def _listen(self, berth: _Berth, process: Process, now: float, away: bool) -> None:
        """Kill a process that has begun to beat and stopped; one that is asked to leave has its patience for that."""
        beat = process.beat()
        if beat != berth.beat or away:
            berth.beat, berth.beaten = beat, now
        elif beat and self._leave_by is None and now - berth.beaten >= self._hang_seconds:
            _log.error("process %d hangs: nothing of it for %.0f s; it is killed", process.pid, now - berth.beaten)
            berth.beaten = now
            process.send(signal.SIGKILL)

    def _look_after(self, berth: _Berth, process: Process, now: float) -> None:
        berth.greeting = berth.greeting or process.greeting()
        self._came_up = self._came_up or bool(berth.greeting)
        status = process.status()
        if status is None:
            return
        process.close()
        self._vacate(berth.number)
        berth.process, berth.greeting = None, ""
        if self._leave_by is not None:
            self.exit_status = self.exit_status or int(status not in _ORDERLY)
            return
        berth.failures = 1 if now - berth.since >= STEADY_SECONDS else berth.failures + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (berth.failures - 1))
        berth.due = now + pause
        _log.error("process %d %s; another takes its place in %.1f s", process.pid, _told(status), pause)

    def _give_up_where_hopeless(self) -> None:
        hopeless = not self._came_up and all(berth.failures >= TRIES for berth in self._berths)
        if hopeless and self._leave_by is None:
            _log.error("none of %d processes came up; what each said stands above", len(self._berths))
            self.leave(signal.SIGTERM)
            self.exit_status = 1

    def _greet_where_all_are_up(self) -> None:
        greetings = [berth.greeting for berth in self._berths if berth.process]
        if not self._greeted and greetings and all(greetings):
            self._greeted = True
            self._greet(greetings[0])


class Worker:
    """A process that answers requests, as its supervisor sees it; see `Process`.

    Started afresh and not forked: nothing of the supervisor is in it. It is in a process group of its own, so that
    Ctrl-C in a terminal reaches the supervisor alone, which passes it on.

    Args:
        place: of the process.
        arguments: of the command line, those of `serve`.
        sockets: that all processes listen on.
    """

    def __init__(self, place: Place, arguments: Sequence[str], sockets: Sequence[socket.socket]) -> None:
        """Start it."""
        self._place = place
        self.lifeline, theirs = Pipe()
        with theirs:
            handed = [place.memory.descriptor, theirs.fileno(), *(each.fileno() for each in sockets)]
            where = [str(place.number), *map(str, handed)]
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-m", "gateway.cli", "work", *where, *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=handed,
                process_group=0,
            )
        self.pid = self._process.pid

    def greeting(self) -> str:
        """See `Process.greeting`."""
        try:
            return self.lifeline.recv_bytes().decode() if self.lifeline.poll() else ""
        except (EOFError, OSError):
            return ""

    def beat(self) -> int:
        """See `Process.beat`."""
        return self._place.beaten

    def status(self) -> int | None:
        """See `Process.status`."""
        return self._process.poll()

    def send(self, number: int) -> None:
        """See `Process.send`."""
        self._process.send_signal(number)

    def close(self) -> None:
        """See `Process.close`."""
        self.lifeline.close()


def greet(greeting: str) -> None:
    """Say that requests are answered; nobody has to be there to read it."""
    with suppress(OSError):
        print(greeting, flush=True)


def supervise(settings: ServerSettings, arguments: Sequence[str], sockets: Sequence[socket.socket]) -> int:
    """Serve from `settings.workers` processes until a signal ends it, and return the exit status.

    Args:
        settings: how many, and how they leave.
        arguments: of the command line, those of `serve`; each process reads the settings anew.
        sockets: that all processes listen on; closed here once they leave, so that the last of them ends listening.
    """
    memory = SharedMemory.create(settings.workers)
    places = [Place(number, memory) for number in range(settings.workers)]
    workers: dict[int, Worker] = {}

    def start(number: int) -> Process:
        workers[number] = Worker(places[number], arguments, sockets)
        return workers[number]

    supervisor = Supervisor(
        settings.workers,
        start,
        lambda number: vacate(places[number]),
        greet,
        settings.drain_delay_seconds + settings.grace_seconds + _KILL_SECONDS,
        settings.hang_seconds,
    )
    signals = _signals()
    while True:
        pause = supervisor.step()
        if supervisor.finished:
            return supervisor.exit_status
        lifelines = [worker.lifeline for worker in workers.values() if not worker.lifeline.closed]
        wait([signals, *lifelines], pause)
        while signals.poll():
            supervisor.leave(signals.recv_bytes()[0])
            for each in sockets:
                each.close()


def _signals() -> Connection:
    """Return where SIGTERM and SIGINT arrive from now on, a byte each."""
    arriving, sending = Pipe(duplex=False)

    def note(number: int, frame: FrameType | None) -> None:
        sending.send_bytes(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return arriving


def _told(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
