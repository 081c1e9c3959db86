"""What became of inference requests, by model and version: how many, and where their time went.

Counted since the start of this process, as Triton's statistics extension tells it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.engines.base import Model
from gateway.scheduling.timeline import Stage, Timeline

_STAGES: dict[str, Stage] = {
    "queue": "queue",
    "compute_input": "decode",
    "compute_infer": "infer",
    "compute_output": "encode",
}


@dataclass
class Counted:
    """How often something was, and the nanoseconds that it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count it once more."""
        self.count += 1
        self.ns += round(seconds * 1e9)


@dataclass
class ModelStatistics:
    """What became of the requests to one version of a model.

    Attributes:
        items: inferred, over all batches.
        requests: that were answered.
        last_milliseconds: since the epoch, when the last was answered; 0: none was.
        parts: by Triton's names.
    """

    items: int = 0
    requests: int = 0
    last_milliseconds: int = 0
    parts: dict[str, Counted] = field(
        default_factory=lambda: {name: Counted() for name in ("success", "fail", *_STAGES, "cache_hit", "cache_miss")}
    )


class Statistics:
    """The statistics of all models. Lives on the event loop, so it needs no lock."""

    def __init__(self) -> None:
        """Have counted nothing yet."""
        self._models: dict[tuple[str, int], ModelStatistics] = {}

    def of(self, model: Model) -> ModelStatistics:
        """Return those of one version of a model."""
        return self._models.get((model.name, model.version), ModelStatistics())

    @contextmanager
    def counted(self, model: Model, timeline: Timeline) -> Iterator[ModelStatistics]:
        """Count one request, answered unless an error leaves the context; what is yielded takes its items."""
        counted = self._models.setdefault((model.name, model.version), ModelStatistics())
        start, before = time.perf_counter(), dict(timeline.seconds)
        try:
            yield counted
        except BaseException:
            counted.parts["fail"].add(time.perf_counter() - start)
            raise
        counted.parts["success"].add(time.perf_counter() - start)
        counted.requests += 1
        counted.last_milliseconds = round(time.time() * 1000)
        for name, stage in _STAGES.items():
            counted.parts[name].add(timeline.seconds.get(stage, 0.0) - before.get(stage, 0.0))


def as_json(model: Model, counted: ModelStatistics) -> dict[str, Any]:
    """Return the statistics of one version of a model, as Triton's HTTP interface has them."""
    return {
        "name": model.name,
        "version": str(model.version),
        "last_inference": counted.last_milliseconds,
        "inference_count": counted.items,
        "execution_count": counted.requests,
        "inference_stats": {name: {"count": part.count, "ns": part.ns} for name, part in counted.parts.items()},
        "batch_stats": [],
    }
