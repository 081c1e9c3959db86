"""One load under way: what may arrive, and what came of what did."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import httpx

from maskgate_load.asking import Scenario, Verdict
from maskgate_load.clicking import clicks
from maskgate_load.options import MODEL_TASKS, Options
from maskgate_load.records import Lane, Record, Records
from maskgate_load.singles import pairs, radiographs, slices, tensors, waste

_REASONS = 100
"""Reasons told apart at most; a load that fails in more ways is told of the rest in one line."""


class Load:
    """What arrives by lot, what happened to it, and when that was.

    Args:
        options: what the load consists of.
        scenarios: what there is a model for.

    Attributes:
        options: as given.
        scenarios: as given.
        rng: of everything drawn by lot.
        records: what came of every request; its times count from `begin`.
        visits: arrivals that have done what they came for, or given up.
        turned_away: arrivals for which there was no room in this process: the gateway never heard of them.
    """

    def __init__(self, options: Options, scenarios: Sequence[Scenario]) -> None:
        """Begin now."""
        self.options = options
        self.scenarios = scenarios
        self.rng = Random(options.seed)  # noqa: S311 a load may be guessed
        self.records = Records()
        self.visits = self.turned_away = 0
        self._failures: Counter[tuple[str, str]] = Counter()
        self.begin()

    def begin(self) -> None:
        """Let time count from now."""
        self._start, self._began, self._cpu = time.monotonic(), time.time(), time.process_time()

    def now(self) -> float:
        """Return seconds since the load began."""
        return time.monotonic() - self._start

    def draw(self) -> Scenario:
        """Return what arrives next."""
        weights = [self.options.tasks[scenario.task] for scenario in self.scenarios]
        return self.rng.choices(self.scenarios, weights)[0]

    def lane(self) -> Lane:
        """Return in which lane the next arrival is."""
        return "emergency" if self.rng.random() < self.options.emergency_share else "bulk"

    def ended(self, record: Record, verdict: Verdict, now: float) -> None:
        """Keep what became of a request at `now`, and count why where it failed."""
        record.outcome, record.seconds = verdict.outcome, now - record.due
        if verdict.outcome == "failed":
            told = (record.task, verdict.reason)
            self._failures[told if told in self._failures or len(self._failures) < _REASONS else ("", "others")] += 1

    def to_json(self) -> dict[str, Any]:
        """Return everything as `figures` reads it: when it began (seconds since 1970), the records, and failures."""
        return {
            "began": self._began,
            "seconds": self.now(),
            "options": vars(self.options) | {"tasks": {s.task: self.options.tasks[s.task] for s in self.scenarios}},
            "visits": self.visits,
            "turned_away": self.turned_away,
            "generator_cpu_seconds": time.process_time() - self._cpu,
            "records": self.records.to_json(),
            "dropped": self.records.dropped,
            "failures": [[task, reason, count] for (task, reason), count in self._failures.most_common()],
        }


def headers() -> dict[str, str]:
    """Return what every request carries: the key in MASKGATE_KEY, where there is one."""
    key = os.environ.get("MASKGATE_KEY", "").strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


def scenarios_of(address: str, headers: Mapping[str, str], options: Options) -> list[Scenario]:
    """Return those of the load's tasks that the gateway at `address` has a ready model for, in order.

    Raises:
        httpx.HTTPError: it does not answer, or not as it should.
        ValueError: it has none for any.
    """
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        listed = client.get("/v1/models").raise_for_status().json()["models"]
        ready = {model["task"]: model["name"] for model in reversed(listed) if model["state"] == "ready"}
        served = [task for task in options.tasks if MODEL_TASKS[task] in ready]
        if not served:
            raise ValueError("the gateway has no model ready for any task of the load")
        makers = {"pairs": pairs, "slices": slices, "radiographs": radiographs, "waste": waste}
        found: list[Scenario] = [makers[task]() for task in served if task in makers]
        if "clicks" in served:
            found.append(clicks(options.think))
        if "tensors" in served:
            name = ready[MODEL_TASKS["tensors"]]
            found.append(tensors(name, client.get(f"/v2/models/{name}").raise_for_status().json()))
    return found
