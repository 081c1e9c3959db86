"""A batch: many items left as jobs, chunk by chunk, and their answers saved; a later run goes on where one ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskgate_client.client import Client
from maskgate_client.command import MisuseError, ending_of, save, text
from maskgate_client.errors import Rejected
from maskgate_client.jobs.answers import JobItem
from maskgate_client.jobs.handle import Job
from maskgate_client.jobs.inputs import RESERVED, BatchItem

CHUNK = 50
"""Items of one job: while it runs, the next one's files are uploaded."""

NOTES, REPORT = ".maskgate-batch.json", f"{RESERVED}.json"


@dataclass(frozen=True)
class Asked:
    """What is asked of every item.

    Attributes:
        task: its name.
        accept: media type of the answers; None: the task's choice.
        parameters: of the task's query.
    """

    task: str
    accept: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of an item: the file that its answer was saved as, or why there is none."""

    name: str
    state: str
    file: str = ""
    media_type: str = ""
    digest: str = ""
    model: str = ""
    notices: tuple[str, ...] = ()
    problem: str = ""


@dataclass
class Batch:
    """A batch in a folder, which knows by its notes what was done before.

    Attributes:
        client: of the gateway.
        out: where answers, notes and the report go.
        asked: of every item.
        items: all of them, in one order.
    """

    client: Client
    out: Path
    asked: Asked
    items: Sequence[BatchItem]
    _notes: dict[str, Any] = field(default_factory=dict)

    def run(self, *, again: bool = False) -> list[Outcome]:
        """Return the outcome of each item; those that were saved before are asked for no more.

        Args:
            again: whether items that failed before are left once more.

        Raises:
            MisuseError: the folder has the notes of another batch.
            MaskgateError: the gateway takes no such jobs, or is away for too long.
            OSError: a file cannot be read, or not written.
        """
        self._remember()
        outcomes: dict[int, Outcome] = {}
        pending: tuple[Job, list[int]] | None = None
        with tqdm(total=len(self.items), unit="item", disable=None) as shown:
            for numbers in self._chunks(outcomes, again):
                shown.update(len(outcomes) - shown.n)
                left = self._left(numbers), numbers
                if pending:
                    outcomes |= self._collected(*pending, shown, len(outcomes))
                pending = left
            if pending:
                outcomes |= self._collected(*pending, shown, len(outcomes))
            shown.update(len(self.items) - shown.n)
        ordered = [outcomes[number] for number in range(len(self.items))]
        save({self.out / REPORT: text(self._report(ordered))})
        return ordered

    def _remember(self) -> None:
        """Read the notes of an earlier run, or begin them."""
        same = [self.asked.task, self.asked.accept, dict(self.asked.parameters), [dict(i.parts) for i in self.items]]
        of = hashlib.sha256(json.dumps(same, sort_keys=True, default=str).encode()).hexdigest()
        with suppress(FileNotFoundError):
            self._notes = json.loads((self.out / NOTES).read_bytes())
        if self._notes and self._notes["of"] != of:
            raise MisuseError(f"{self.out} has the answers of another batch; name another --out")
        self._notes = self._notes or {"of": of, "jobs": {}, "done": {}}

    def _note(self) -> None:
        path = self.out / NOTES
        save({path.with_suffix(".new"): json.dumps(self._notes).encode()})
        path.with_suffix(".new").replace(path)

    def _chunks(self, outcomes: dict[int, Outcome], again: bool) -> Iterator[list[int]]:
        """Yield the numbers of the items of each job; what was done before is put among the outcomes."""
        open_: list[int] = []
        for number in range(len(self.items)):
            known = self._notes["done"].get(str(number))
            if known and (known["state"] == "done" and (self.out / known["file"]).is_file()):
                outcomes[number] = Outcome(**{**known, "notices": tuple(known["notices"])})
            elif known and known["state"] != "done" and not again:
                outcomes[number] = Outcome(**{**known, "notices": ()})
            else:
                open_.append(number)
        for start in range(0, len(open_), CHUNK):
            yield open_[start : start + CHUNK]

    def _left(self, numbers: list[int]) -> Job:
        """Return the job of some items: one that an earlier run left, where the gateway has it yet, else a new one."""
        name = ",".join(map(str, numbers))
        known = self._notes["jobs"].get(name)
        if known is not None:
            job = self.client.job(known)
            with suppress(Rejected):
                job.status()
                return job
        parts = [dict(self.items[number].parts) for number in numbers]
        job = self.client.submit(self.asked.task, parts, accept=self.asked.accept, **self.asked.parameters)
        self._notes["jobs"][name] = job.id
        self._note()
        return job

    def _collected(self, job: Job, numbers: list[int], shown: Any, before: int) -> dict[int, Outcome]:
        """Return the outcomes of a job's items once it has ended, their answers saved; the job is forgotten then."""
        job.wait(progress=lambda step: shown.update(before + step.done - shown.n))
        found: dict[int, Outcome] = {}
        for item in job.items():
            number = numbers[item.number]
            found[number] = self._saved(job, item, self.items[number].name)
            self._notes["done"][str(number)] = vars(found[number])
        self._notes["jobs"].pop(",".join(map(str, numbers)), None)
        self._note()
        with suppress(Rejected):
            job.cancel()
        return found

    def _saved(self, job: Job, item: JobItem, name: str) -> Outcome:
        result = item.result
        if result is None:
            problem = item.problem or {}
            return Outcome(name, item.state, problem=str(problem.get("detail") or problem.get("code") or ""))
        file = f"{name}{ending_of(result.media_type) or '.bin'}"
        save({self.out / file: job.result(item)})
        return Outcome(name, item.state, file, result.media_type, result.digest, result.model, result.notices)

    def _report(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        states = [outcome.state for outcome in outcomes]
        return {
            "task": self.asked.task,
            "accept": self.asked.accept,
            "parameters": dict(self.asked.parameters),
            "counts": {state: states.count(state) for state in sorted(set(states))},
            "items": [
                {name: value for name, value in vars(outcome).items() if value} | {"parts": dict(item.parts)}
                for outcome, item in zip(outcomes, self.items, strict=True)
            ],
        }
