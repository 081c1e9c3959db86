"""Locust's users: one per task who waits for answers, and one who lets requests arrive whatever became of earlier ones.

Only locust may import this: its import makes the process's sockets and clocks gevent's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, task
from locust.contrib.fasthttp import FastHttpSession, ResponseContextManager

from maskgate_load.arrivals import PATTERNS, arrivals, dispatch, schedule
from maskgate_load.asking import Ask, Reply, Scenario, Verdict, judge
from maskgate_load.load import Load
from maskgate_load.options import MIX
from maskgate_load.records import Lane, Record

_STEADFAST = 5
"""How often a request within a click session is tried: who has begun a session does not leave at the first refusal."""
_MOST_AT_ONCE = 2000
_PATIENCE_SECONDS = 120.0


class Guest:
    """A `Caller` over locust's session. Latency counts from when a request was due, so that waiting does not hide.

    Args:
        load: what it is part of.
        client: shared by many.
        lane: of all its requests.
        due: when its first one is, in seconds since the load began.

    Attributes:
        rng: the load's.
        refrain: seconds for which the last answer asked it to stay away.
    """

    def __init__(self, load: Load, client: FastHttpSession, lane: Lane, due: float) -> None:
        """Ask nothing yet."""
        self.rng = load.rng
        self.refrain = 0.0
        self._load, self._client, self._lane, self._due = load, client, lane, due
        self._attempts, self._deadline = load.options.attempts, load.options.deadline
        self._headers: dict[str, str] = {"Maskgate-Priority": lane}
        if self._deadline is not None:
            self._headers["Maskgate-Deadline"] = f"{self._deadline:g}"

    def ask(self, ask: Ask) -> Reply | None:
        """Return the right answer; None where it failed, or was refused as often as this guest tries."""
        due, load = self._due, self._load
        record = load.records.add(Record(ask.name, self._lane, due, load.now() - due))
        for attempt in range(1, self._attempts + 1):
            reply, verdict, now = self._send(ask, due)
            self.refrain = verdict.retry_after
            if verdict.outcome != "refused":
                break
            record.refusals += 1
            if attempt < self._attempts:
                gevent.sleep(self.refrain)
        load.ended(record, verdict, now)
        self._attempts, self._due = max(_STEADFAST, self._attempts), load.now()
        return reply if verdict.outcome in ("answered", "late") else None

    def pause(self, seconds: float) -> None:
        """Think; the next request is due when that is over."""
        self._due += seconds
        gevent.sleep(max(0.0, self._due - self._load.now()))

    def _send(self, ask: Ask, due: float) -> tuple[Reply, Verdict, float]:
        """Return what came, what it is worth, and when it came; locust hears of it too."""
        sent = self._client.request(
            ask.method,
            ask.path,
            name=f"{ask.name}, {self._lane}",
            data=ask.body,  # type: ignore[arg-type]  # bytes are sent as they are, whatever the annotation says
            headers={**self._headers, **ask.headers},
            catch_response=True,
        )
        with sent as response:
            now, reply = self._load.now(), _reply(response)
            # In a thread: decoding a map takes milliseconds, in which nothing else would be sent or timed.
            verdict = gevent.get_hub().threadpool.apply(judge, (ask, reply, self._deadline is not None))
            if verdict.outcome == "answered" and self._deadline is not None and now - due > self._deadline:
                verdict = Verdict("late")
            response.request_meta["response_time"] = (now - due) * 1000
            if verdict.outcome == "failed":
                response.failure(verdict.reason)
            else:
                if verdict.outcome in ("refused", "expired"):
                    # Who says early what cannot be done has not failed: locust counts these in rows of their own.
                    response.request_meta["request_type"] = verdict.outcome
                response.success()
        return reply, verdict, now


class Visitor(FastHttpUser):
    """Whoever takes part in `load`, which the locustfile sets."""

    abstract = True
    load: ClassVar[Load]
    concurrency = _MOST_AT_ONCE
    network_timeout = connection_timeout = _PATIENCE_SECONDS

    def receive(self, scenario: Scenario, due: float) -> Guest:
        """Let a guest do what it came for, and return it."""
        guest = Guest(self.load, self.client, self.load.lane(), due)
        scenario.play(guest)
        self.load.visits += 1
        return guest


class Regular(Visitor):
    """Comes again and again, each time when the last answer has come and it may come back.

    Attributes:
        task_name: what for; "" draws it by lot.
    """

    task_name: ClassVar[str] = ""

    @task
    def play(self) -> None:
        """Do one thing."""
        named = [scenario for scenario in self.load.scenarios if scenario.task == self.task_name]
        gevent.sleep(self.receive(named[0] if named else self.load.draw(), self.load.now()).refrain)


TASK_VISITORS: Mapping[str, type[Regular]] = {
    name.capitalize(): type(name.capitalize(), (Regular,), {"task_name": name, "__module__": __name__}) for name in MIX
}
"""By the name that locust's command line has: Pairs, Slices, …"""


class Arrivals(Visitor):
    """Lets guests come when they are due, as an open loop, and ends the load when the last has left."""

    fixed_count = 1

    @task
    def unfold(self) -> None:
        """Play the whole schedule."""
        options, load, present = self.load.options, self.load, Pool()
        (pattern,) = (one for one in PATTERNS if one == options.arrivals)

        def launch(due: float) -> None:
            if len(present) < _MOST_AT_ONCE:
                present.spawn(self.receive, load.draw(), due)
            else:
                load.turned_away += 1

        load.begin()
        times = arrivals(schedule(pattern, options.rate, options.seconds), load.rng)
        dispatch(times, launch, load.now, time.sleep)
        present.join(timeout=_PATIENCE_SECONDS)
        self.environment.runner.quit()


def classes_of(load: Load, named: Sequence[str]) -> list[type[Visitor]]:
    """Return who takes part in a load, each told of it: those `named` of which the task is served, where any are named.

    Else arrivals where the load has a pattern, and regulars where it is closed.
    """
    Visitor.load = load
    served = {scenario.task for scenario in load.scenarios}
    chosen: list[type[Visitor]] = []
    for name, kind in TASK_VISITORS.items():
        if name in named and kind.task_name in served:
            kind.weight = load.options.tasks[kind.task_name]
            chosen.append(kind)
    return chosen or [Arrivals if load.options.arrivals in PATTERNS else Regular]


def _reply(response: ResponseContextManager) -> Reply:
    if not response.status_code:
        return Reply(0, {}, b"", type(getattr(response, "error", None)).__name__)
    headers = {name.lower(): value for name, value in (response.headers or {}).items()}
    return Reply(response.status_code, headers, response.content or b"")
