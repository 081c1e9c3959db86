"""What a load consists of, as the command line says it; `locust` and our own commands share these."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from maskgate_load.arrivals import PATTERNS

MIX: Mapping[str, int] = {"pairs": 4, "slices": 2, "radiographs": 1, "waste": 1, "clicks": 1, "tensors": 2}
"""Task → how often it arrives, in proportion to others, where the command line says nothing else."""

MODEL_TASKS: Mapping[str, str] = {
    "pairs": "damage",
    "slices": "ct",
    "radiographs": "radiograph",
    "waste": "waste",
    "clicks": "interactive",
    "tensors": "damage",
}
"""Task → the task of a model without which it is left out."""

CLOSED = "closed"


def _option(default: Any, told: str, **arguments: Any) -> Any:
    return field(default=default, metadata={"help": told, **arguments})


@dataclass(frozen=True)
class Options:
    """One load; the command line's help says what each field is."""

    arrivals: str = _option(
        "steady", "pattern, or users who wait for their answers", choices=(*PATTERNS, CLOSED), type=str
    )
    rate: float = _option(1.0, "arrivals per second that the pattern is about")
    seconds: float = _option(60.0, "how long requests arrive; a closed load ends when locust says so")
    tasks: Mapping[str, int] = field(default_factory=lambda: MIX)
    think: float = _option(2.0, "median seconds between clicks")
    emergency_share: float = _option(0.0, "of arrivals in the emergency lane, 0 to 1")
    deadline: float | None = _option(None, "seconds an answer is of use for, sent as Maskgate-Deadline", type=float)
    attempts: int = _option(1, "how often the first request of an arrival is sent at most, where it is refused")
    seed: int = _option(1, "of everything drawn by lot")

    def arguments(self) -> list[str]:
        """Return them as `add_to` reads them."""
        tasks = ",".join(f"{task}={weight}" for task, weight in self.tasks.items())
        told = {name: value for name, value in vars(self).items() if name not in ("tasks", "deadline")}
        pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in told.items()]
        pairs += [("--load-tasks", tasks)] + ([("--deadline", str(self.deadline))] if self.deadline else [])
        return [part for pair in pairs for part in pair]


def add_to(parser: argparse.ArgumentParser) -> None:
    """Let a parser read them."""
    parser.add_argument(
        "--load-tasks", type=mix, default=MIX, metavar="TASK[=N],…", help=f"of {', '.join(MIX)}; N: in proportion"
    )
    for one in fields(Options):
        if one.metadata:
            kind: dict[str, Any] = {"type": type(one.default), "default": one.default}
            parser.add_argument(f"--{one.name.replace('_', '-')}", **kind | dict(one.metadata))


def read(parsed: argparse.Namespace) -> Options:
    """Return what a parser has read."""
    names = [name for name in vars(Options()) if name != "tasks"]
    return Options(tasks=parsed.load_tasks, **{name: getattr(parsed, name) for name in names})


def mix(text: str) -> Mapping[str, int]:
    """Return "pairs=4,clicks" as numbers by task, 1 where there is none.

    Raises:
        argparse.ArgumentTypeError: a task is unknown, or a number none above 0.
    """
    weights = {}
    for part in text.split(","):
        task, _, weight = part.strip().partition("=")
        if task not in MIX:
            raise argparse.ArgumentTypeError(f"{task!r} is none of {', '.join(MIX)}")
        if weight and not (weight.isascii() and weight.isdigit() and int(weight)):
            raise argparse.ArgumentTypeError(f"{weight!r} is no number above 0")
        weights[task] = int(weight or 1)
    return weights
