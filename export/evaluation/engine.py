"""The gateway's pipelines without the gateway: an engine over model folders and checkpoints, and what drives them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, cast

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph, graph_of, to_onnx
from export.graphs.runners import Arrays, Runner, open_file, torch_runner
from export.registry import specs_of
from export.repository.cards import stated
from export.task import ModelSpec
from gateway.engines.base import Model, Refreshed, Status, Tensors, VersionStatus
from gateway.inference.segmenter import Run
from gateway.observability.metrics import Telemetry
from gateway.repository.card import Card
from gateway.repository.record import Parity
from gateway.repository.store import StoredModel
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers

T = TypeVar("T")

UNSAVED = f"sha256:{0:064x}"
"""Digest of weights in training, which are no file yet."""


@dataclass(frozen=True)
class Served:
    """A model and what runs it."""

    model: Model
    run: Runner


def of_folder(stored: StoredModel, version: int | None = None) -> Served:
    """Return a model of a repository, in the version given or the newest, its file run by its own runtime."""
    card, number = stored.card, version or stored.newest
    inputs, outputs = ([spec.name for spec in specs] for specs in (card.inputs, card.outputs))
    run = open_file(stored.versions[number].read_bytes(), card.format, inputs, outputs)
    return Served(Model(card, number, card.digests[str(number)]), run)


def of_checkpoint(
    checkpoint: Checkpoint, source_digest: str = UNSAVED, device: str = "cpu", *, exported: bool = False
) -> list[Served]:
    """Return the models that a checkpoint would become, run by torch on a device.

    Args:
        checkpoint: of the network.
        source_digest: of its file.
        device: that torch computes on.
        exported: whether ONNX Runtime runs them instead, as it runs what a repository holds.

    Raises:
        CheckpointError: the weights are not those of the architecture.
    """
    network, served = checkpoint.network(), []
    for spec in specs_of(checkpoint.architecture):
        graph = graph_of(network, checkpoint, spec)
        names = [[each.name for each in specs] for specs in (graph.inputs, graph.outputs)]
        run = open_file(to_onnx(graph), "onnx", *names) if exported else torch_runner(graph.module, device)
        served.append(Served(_of_spec(checkpoint, graph, spec, source_digest), run))
    return served


def _of_spec(checkpoint: Checkpoint, graph: Graph, spec: ModelSpec, source_digest: str) -> Model:
    card = Card(
        **stated(spec, checkpoint, graph, "onnx"),
        figures=(),
        source_digest=source_digest,
        digests={"1": source_digest},
        # Nothing was exported, so nothing can differ.
        parity=Parity(tolerance_probability=0, tolerance_flipped=0, versions={}, comparisons=()),
    )
    return Model(card, 1, source_digest)


class EvaluationEngine:
    """Runs models one call at a time, in a thread; see `gateway.engines.base.Engine`.

    Args:
        served: what it runs, of every name one.
    """

    name = "evaluation"
    transport = "in-process"
    tried = True
    unloaded: ClassVar[set[str]] = set()

    def __init__(self, served: Iterable[Served]) -> None:
        """Keep the models."""
        self._served = {each.model.name: each for each in served}
        self._lane = Threads("lane", 1)

    async def start(self) -> None:
        """Do nothing: models are opened already."""

    async def close(self) -> None:
        """Let the running call end."""
        self._lane.close()

    def statuses(self) -> Sequence[Status]:
        """Return every model, ready."""
        models = [self._served[name].model for name in sorted(self._served)]
        return [Status(each.name, "ready", model=each, versions=(VersionStatus(each, "ready"),)) for each in models]

    async def refresh(self) -> Refreshed:
        """Change nothing."""
        return Refreshed((), (), (), {})

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named `outputs` for a batch; see `Engine.infer`."""
        run, card = self._served[model.name].run, model.card
        batches = [inputs[spec.name] for spec in card.inputs]
        answer: Arrays = await self._lane.call(run, batches)
        named = dict(zip((spec.name for spec in card.outputs), answer, strict=True))
        return {name: named[name] for name in outputs}


class Bench:
    """Drives pipelines to their end, one after the other, on models of one engine; a context.

    Attributes:
        engine: the models.
        run: what pipelines run on.
        seconds: how long each answer took, in order.
    """

    def __init__(self, served: Iterable[Served]) -> None:
        """Open the threads."""
        self.engine = EvaluationEngine(served)
        self._workers = Workers(Threads("worker", 2))
        self._loop = asyncio.Runner()
        self.run = Run(self.engine, self._workers, Telemetry(), Timeline(math.inf))
        self.seconds: list[float] = []

    def answer(self, asked: Coroutine[Any, Any, T]) -> T:
        """Return what a pipeline answers."""
        start = time.perf_counter()
        found = self._loop.run(asked)
        self.seconds.append(time.perf_counter() - start)
        return found

    @property
    def only(self) -> Model:
        """The one model of the engine."""
        [status] = self.engine.statuses()
        return cast(Model, status.model)

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads."""
        self._loop.run(self.engine.close())
        self._loop.close()
        self._workers.close()
