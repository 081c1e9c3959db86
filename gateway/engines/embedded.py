"""ONNX Runtime in the gateway's own process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import onnxruntime as ort

from gateway.engines.base import Model, Status, Tensors
from gateway.errors import DeadlineExceeded, ModelNotReady
from gateway.ops.telemetry import Telemetry
from gateway.ops.timeline import Timeline
from gateway.repository.card import Card
from gateway.repository.store import StoredModel, scan

T = TypeVar("T")
Provider = Literal["cpu", "cuda"]

_log = logging.getLogger(__name__)
_PROVIDERS: dict[Provider, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class EmbeddedEngine:
    """Loads every ONNX model of a repository and runs it on `lanes` threads.

    A lane runs one batch on one core. That keeps all cores busy under load, and a single
    request too, since its tiles are spread over the lanes; ONNX Runtime's own threads
    would do the second at the cost of the first.

    Args:
        root: the model repository.
        provider: where to compute.
        lanes: batches computed side by side.
        telemetry: where readiness and batch sizes are counted.
    """

    name = "embedded"
    transport = "in-process"

    def __init__(self, root: Path, provider: Provider, lanes: int, telemetry: Telemetry) -> None:
        """Load nothing yet; `start` does."""
        self._root = root
        self._provider = provider
        self._lanes = lanes
        self._telemetry = telemetry
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="lane")
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._statuses: dict[str, Status] = {}

    async def start(self) -> None:
        """Scan the repository, load and warm up each sound model, and say what is wrong with the others."""
        repository = await self._in_lane(scan, self._root)
        for fault in repository.faults:
            self._stand(Status(fault.model, "failed", fault.reason))
        for name, stored in repository.models.items():
            self._stand(Status(name, "loading", model=Model(stored.card, stored.newest, stored.digest)))
        for name, stored in repository.models.items():
            await self._load(name, stored)

    async def close(self) -> None:
        """Let running batches end and release the models."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._sessions.clear()

    def statuses(self) -> Sequence[Status]:
        """Return the standing of every model folder, sorted by name."""
        return [self._statuses[name] for name in sorted(self._statuses)]

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        """Return the named outputs for a batch, its items spread over the lanes; see `Engine.infer`."""
        session = self._sessions.get(model.name)
        if session is None:
            raise ModelNotReady(f"Model {model.name} is not loaded.", retry_after=5)
        items = len(next(iter(inputs.values())))
        chunks = max(min(items, self._lanes), -(-items // model.card.max_batch_size))
        bounds = np.linspace(0, items, chunks + 1).astype(int).tolist()
        feeds = [{name: batch[a:b] for name, batch in inputs.items()} for a, b in pairwise(bounds)]
        for size in np.diff(bounds).tolist():
            self._telemetry.batch_items.labels(model.name).observe(size)
        try:
            async with asyncio.timeout(timeline.remaining()):
                answers = await asyncio.gather(*(self._in_lane(session.run, list(outputs), feed) for feed in feeds))
        except TimeoutError as late:
            raise DeadlineExceeded("The deadline passed while the model ran.") from late
        if len(answers) == 1:
            return dict(zip(outputs, answers[0], strict=True))
        return {name: np.concatenate([a[i] for a in answers]) for i, name in enumerate(outputs)}

    async def _load(self, name: str, stored: StoredModel) -> None:
        model = Model(stored.card, stored.newest, stored.digest)
        if stored.card.format != "onnx":
            self._stand(Status(name, "failed", "the embedded engine runs ONNX only; serve it through Triton", model))
            return
        try:
            self._sessions[name] = await self._in_lane(self._open, stored)
        except Exception:
            # ONNX Runtime raises bare exceptions of many kinds; a model that cannot be
            # opened must not take the others with it.
            _log.exception("model %s cannot be loaded", name)
            self._stand(Status(name, "failed", "ONNX Runtime cannot run the model file; the log has its reason", model))
        else:
            self._stand(Status(name, "ready", model=model))

    def _open(self, stored: StoredModel) -> ort.InferenceSession:
        """Return a warmed-up session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(stored.versions[stored.newest], options, providers=[_PROVIDERS[self._provider]])
        outputs = session.run(None, _zeros(stored.card))
        for spec, output in zip(stored.card.outputs, outputs, strict=True):
            if output.shape[1:] != spec.shape or output.dtype != spec.dtype:
                raise ValueError(f"output {spec.name} is {output.dtype}{output.shape[1:]}, the card says {spec}")
        return session

    def _stand(self, status: Status) -> None:
        self._statuses[status.name] = status
        self._telemetry.model_ready.labels(status.name).set(status.state == "ready")
        if status.state == "failed":
            _log.error("model %s is not served: %s", status.name, status.reason)
        else:
            _log.info("model %s is %s", status.name, status.state)

    async def _in_lane(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *arguments))


def _zeros(card: Card) -> dict[str, np.ndarray]:
    return {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in card.inputs}
