"""What the supervisor does and when, on a clock of its own and processes that only say so."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

import pytest

from gateway.server.supervisor import FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS, TRIES, Supervisor

PATIENCE = 42.0
HANG = 8.0


@dataclass
class Actor:
    """A process that does what the test says."""

    pid: int
    hello: str = ""
    ended: int | None = None
    signals: list[int] = field(default_factory=list)
    closed: bool = False
    beats: int = 0
    stuck: bool = False

    def greeting(self) -> str:
        hello, self.hello = self.hello, ""
        return hello

    def beat(self) -> int:
        self.beats += not self.stuck
        return self.beats

    def status(self) -> int | None:
        return self.ended

    def send(self, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.ended = -signal.SIGKILL

    def close(self) -> None:
        self.closed = True


class Stage:
    """A supervisor, its clock, and who was there."""

    def __init__(self, count: int) -> None:
        self.now = 1000.0
        self.started: list[tuple[int, Actor]] = []
        self.vacated: list[int] = []
        self.greetings: list[str] = []
        self.supervisor = Supervisor(
            count, self.start, self.vacated.append, self.greetings.append, PATIENCE, HANG, lambda: self.now
        )
        self.pause = self.supervisor.step()

    def start(self, number: int) -> Actor:
        self.started.append((number, Actor(pid=100 + len(self.started))))
        return self.started[-1][1]

    def on(self, number: int) -> Actor:
        return next(actor for place, actor in reversed(self.started) if place == number)

    def step(self, seconds: float = 0.0) -> float:
        self.now += seconds
        return self.supervisor.step()

    def all_up(self) -> None:
        for _, actor in self.started:
            actor.hello = "hello"
        self.step()


def test_all_places_are_taken_and_greeted_for_once() -> None:
    stage = Stage(3)
    assert [number for number, _ in stage.started] == [0, 1, 2]
    assert stage.pause == HANG / 4, "nothing is due but what the processes do, and a look whether they beat"
    stage.on(2).hello = "hello from the third"
    stage.step()
    stage.on(0).hello = "hello from the first"
    stage.step()
    assert stage.greetings == []
    stage.on(1).hello = "hello from the second"
    stage.step()
    stage.step()
    assert stage.greetings == ["hello from the first"]


def test_a_process_that_keeps_failing_does_not_keep_the_greeting_back() -> None:
    stage = Stage(2)
    stage.on(0).hello = "hello"
    stage.on(1).ended = 1
    stage.step()
    assert stage.greetings == ["hello"]


def test_a_dead_process_is_replaced_after_its_place_was_vacated() -> None:
    stage = Stage(2)
    stage.all_up()
    dead = stage.on(1)
    dead.ended = -signal.SIGKILL
    assert stage.step(STEADY_SECONDS) == FIRST_PAUSE
    assert (dead.closed, stage.vacated, len(stage.started)) == (True, [1], 2)
    assert stage.step(FIRST_PAUSE / 2) == pytest.approx(FIRST_PAUSE / 2)
    stage.step(FIRST_PAUSE / 2)
    assert [number for number, _ in stage.started] == [0, 1, 1]
    stage.all_up()
    assert stage.greetings == ["hello"], "who was greeted is not greeted again"


def test_pauses_double_while_processes_die_soon_and_begin_again_after_a_steady_one() -> None:
    stage = Stage(1)
    stage.all_up()
    pauses = []
    for _ in range(9):
        stage.on(0).ended = 1
        pause = stage.step(1.0)
        pauses.append(pause)
        stage.step(pause)
    assert pauses == [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(9)]
    stage.on(0).ended = 1
    assert stage.step(STEADY_SECONDS) == FIRST_PAUSE


def test_where_none_ever_comes_up_it_gives_up() -> None:
    stage = Stage(2)
    for _ in range(TRIES):
        assert not stage.supervisor.finished
        for number in (0, 1):
            stage.on(number).ended = 3
        stage.step()
        stage.step(LONGEST_PAUSE)
    assert len(stage.started) == 2 * TRIES
    assert stage.supervisor.finished
    assert stage.supervisor.exit_status == 1


def test_where_one_came_up_once_it_never_gives_up() -> None:
    stage = Stage(2)
    stage.on(0).hello = "hello"
    stage.step()
    for _ in range(5 * TRIES):
        for number in (0, 1):
            stage.on(number).ended = 3
        stage.step()
        stage.step(LONGEST_PAUSE)
    assert len(stage.started) == 2 + 2 * 5 * TRIES


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_leaving_passes_the_signal_on_and_replaces_nobody(number: int) -> None:
    stage = Stage(2)
    stage.all_up()
    stage.supervisor.leave(number)
    assert stage.step() == PATIENCE
    assert [stage.on(n).signals for n in (0, 1)] == [[number], [number]]
    stage.on(0).ended = 0
    stage.step(1)
    assert not stage.supervisor.finished
    stage.on(1).ended = 0
    stage.step(1)
    assert stage.supervisor.finished
    assert stage.supervisor.exit_status == 0
    assert len(stage.started) == 2


def test_every_further_signal_is_passed_on_too() -> None:
    stage = Stage(1)
    stage.all_up()
    stage.supervisor.leave(signal.SIGINT)
    stage.step(1)
    stage.supervisor.leave(signal.SIGINT)
    assert stage.on(0).signals == [signal.SIGINT, signal.SIGINT]
    assert stage.step() == PATIENCE - 1, "a second signal grants no more time"


def test_a_process_that_is_not_up_yet_is_ended_without_a_traceback() -> None:
    stage = Stage(1)
    stage.supervisor.leave(signal.SIGINT)
    assert stage.on(0).signals == [signal.SIGTERM]
    stage.on(0).ended = -signal.SIGTERM
    stage.step()
    assert stage.supervisor.finished
    assert stage.supervisor.exit_status == 0


def test_a_process_that_does_not_leave_in_time_is_killed_and_told_of() -> None:
    stage = Stage(2)
    stage.all_up()
    stage.supervisor.leave(signal.SIGTERM)
    stage.on(0).ended = 0
    stage.step(PATIENCE - 1)
    assert stage.on(1).signals == [signal.SIGTERM]
    stage.step(1)
    assert stage.on(1).signals == [signal.SIGTERM, signal.SIGKILL]
    stage.step()
    assert stage.supervisor.finished
    assert stage.supervisor.exit_status == 1


def test_a_process_that_fails_while_leaving_shows_in_the_exit_status() -> None:
    stage = Stage(2)
    stage.all_up()
    stage.supervisor.leave(signal.SIGTERM)
    stage.on(0).ended = 1
    stage.on(1).ended = 0
    stage.step()
    assert stage.supervisor.finished
    assert stage.supervisor.exit_status == 1


def test_who_waits_for_the_next_try_when_all_leave_is_not_waited_for() -> None:
    stage = Stage(1)
    stage.all_up()
    stage.on(0).ended = 1
    stage.step()
    stage.supervisor.leave(signal.SIGTERM)
    stage.step(LONGEST_PAUSE)
    assert stage.supervisor.finished
    assert len(stage.started) == 1


def looks(stage: Stage, seconds: float) -> None:
    """Let time pass as it does for a supervisor that looks as often as it said."""
    for _ in range(round(seconds / (HANG / 4))):
        stage.step(HANG / 4)


def test_one_that_lives_but_does_not_beat_is_killed_and_replaced() -> None:
    stage = Stage(2)
    stage.all_up()
    stage.on(1).stuck = True
    looks(stage, HANG - HANG / 4)
    assert stage.on(1).signals == []
    looks(stage, HANG / 4)
    assert (stage.on(0).signals, stage.on(1).signals) == ([], [signal.SIGKILL])
    stage.step()
    assert stage.vacated == [1]
    stage.step(FIRST_PAUSE)
    assert [number for number, _ in stage.started] == [0, 1, 1]


def test_one_that_has_not_begun_to_beat_is_given_time() -> None:
    stage = Stage(1)
    stage.on(0).stuck = True
    stage.on(0).beats = 0
    looks(stage, 10 * HANG)
    assert stage.on(0).signals == []


def test_nobody_is_killed_for_the_time_in_which_the_supervisor_itself_stood_still() -> None:
    stage = Stage(1)
    stage.all_up()
    stage.on(0).stuck = True
    stage.step(100 * HANG)
    assert stage.on(0).signals == [], "the machine slept; the process has had no time to beat yet"
    looks(stage, HANG)
    assert stage.on(0).signals == [signal.SIGKILL]


def test_one_that_is_asked_to_leave_has_its_patience() -> None:
    stage = Stage(1)
    stage.all_up()
    stage.on(0).stuck = True
    stage.supervisor.leave(signal.SIGTERM)
    looks(stage, 2 * HANG)
    assert stage.on(0).signals == [signal.SIGTERM]
