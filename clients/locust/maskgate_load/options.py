"""What a load consists of, as the command line says it; `locust` and our own commands share these."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field

from maskgate_load.arrivals import PATTERNS

MIX: Mapping[str, int] = {"pairs": 4, "slices": 2, "films": 1, "waste": 1, "clicks": 1, "tensors": 2}
"""Task → how often it arrives, in proportion to others, where the command line says nothing else."""

MODEL_TASKS: Mapping[str, str] = {
    "pairs": "damage",
    "slices": "ct",
    "films": "radiograph",
    "waste": "waste",
    "clicks": "interactive",
    "tensors": "damage",
}
"""Task → the task of a model without which it is left out."""

CLOSED = "closed"


@dataclass(frozen=True)
class Options:
    """One load.

    Attributes:
        arrivals: a pattern of `arrivals.PATTERNS`; "closed" has users who wait for their answers.
        rate: arrivals per second that the pattern is about.
        seconds: how long requests arrive; a closed load ends when locust says so.
        tasks: task → how often, in proportion.
        think: median pause between clicks, in seconds.
        emergency_share: of arrivals in the emergency lane, 0 to 1.
        deadline: seconds that an answer is of use for; None: always.
        attempts: how often the first request of an arrival is sent at most, where it is refused.
        seed: of everything drawn by lot.
    """

    arrivals: str = "steady"
    rate: float = 1.0
    seconds: float = 60.0
    tasks: Mapping[str, int] = field(default_factory=lambda: MIX)
    think: float = 2.0
    emergency_share: float = 0.0
    deadline: float | None = None
    attempts: int = 1
    seed: int = 1

    def arguments(self) -> list[str]:
        """Return them as `add_to` reads them."""
        tasks = ",".join(f"{task}={weight}" for task, weight in self.tasks.items())
        told = {name: value for name, value in vars(self).items() if name not in ("tasks", "deadline")}
        pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in told.items()]
        pairs += [("--load-tasks", tasks)] + ([("--deadline", str(self.deadline))] if self.deadline else [])
        return [part for pair in pairs for part in pair]


def add_to(parser: argparse.ArgumentParser) -> None:
    """Let a parser read them."""
    defaults = Options()
    parser.add_argument(
        "--arrivals", choices=(*PATTERNS, CLOSED), default=defaults.arrivals, help="pattern of the load"
    )
    parser.add_argument("--rate", type=float, default=defaults.rate, help="arrivals per second it is about")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="how long requests arrive")
    parser.add_argument(
        "--load-tasks", type=mix, default=MIX, metavar="TASK[=N],…", help=f"of {', '.join(MIX)}; N: in proportion"
    )
    parser.add_argument("--think", type=float, default=defaults.think, help="median seconds between clicks")
    parser.add_argument("--emergency-share", type=float, default=defaults.emergency_share, help="0 to 1")
    parser.add_argument("--deadline", type=float, help="seconds an answer is of use for, sent as Maskgate-Deadline")
    parser.add_argument(
        "--attempts", type=int, default=defaults.attempts, help="how often a refused arrival is tried; 1: never again"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of everything drawn by lot")


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
