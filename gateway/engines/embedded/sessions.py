"""Sessions of ONNX Runtime: opened and warmed up, let go while nobody asks for them, and opened again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache, partial
from io import StringIO
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import onnxruntime as ort

from gateway.engines.base import Model
from gateway.errors import ModelNotReady
from gateway.repository.card import Card
from gateway.scheduling.memory import memory_left
from gateway.scheduling.threads import Threads

Provider = Literal["cpu", "cuda"]

CUDA_CHOICES = {
    # The default tries every algorithm anew for each batch size it has not met, in the middle of traffic.
    "cudnn_conv_algo_search": "HEURISTIC",
    "cudnn_conv_use_max_workspace": "1",
    "arena_extend_strategy": "kSameAsRequested",
}
"""How ONNX Runtime computes on CUDA, here and in Triton."""

_PROVIDERS: dict[Provider, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", CUDA_CHOICES),
}

_ARENA_SHARE = 0.5

_log = logging.getLogger(__name__)


def open_session(path: Path, provider: Provider, threads: int = 1) -> ort.InferenceSession:
    """Return a session that computes on the thread which calls it and `threads` − 1 of its own, or on the GPU.

    Raises:
        RuntimeError: ONNX Runtime cannot use the provider here.
        Exception: of many more kinds; ONNX Runtime has no common base for its own.
    """
    name, choices = _PROVIDERS[provider]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its own threads wait awake for each other, a hundred times a run, and sleep between runs: they would burn the
    # cores that other requests have by then.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if provider == "cuda":
        _load_cuda()
    else:
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Weights come and go with their session, and not with the arena.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    session = ort.InferenceSession(path, options, providers=[(name, choices)])
    # Without CUDA's libraries, or a GPU, ONNX Runtime says so in its log and computes on the processor.
    if name not in session.get_providers():
        raise RuntimeError(f"ONNX Runtime cannot use {name} here; its log says why")
    return session


@cache
def _share_arena() -> None:
    """Have all sessions on the processor work in one arena: of many models no more than the lanes are at work at once.

    With an arena of its own each would keep what its largest run took, twice over where two lanes had it. Where memory
    is bound the arena takes half of what is left: it gives back nothing by itself, and weights, decoded pictures and
    threads take some too.
    """
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    left = memory_left()
    choices = {} if left is None else {"max_mem": int(_ARENA_SHARE * left)}
    ort.create_and_register_allocator(place, ort.OrtArenaCfg(choices))


@cache
def _load_cuda() -> None:
    """Load CUDA and cuDNN from NVIDIA's wheels, where they are installed as such: the linker does not look there."""
    with redirect_stdout(StringIO()) as said:
        ort.preload_dlls()
    for line in said.getvalue().splitlines():
        _log.warning("%s", line)


def warm_up(session: ort.InferenceSession, card: Card) -> None:
    """Run one blank tile, so that no request pays for what ONNX Runtime puts off until the first run.

    What runs on the processor have worked in, and none works in now, is given back after it.

    Raises:
        ValueError: an output is not what the card says.
        Exception: the graph cannot be run with the card's inputs; see `open_session`.
    """
    blank = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in card.inputs}
    options = ort.RunOptions()
    if session.get_providers() == [_PROVIDERS["cpu"][0]]:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    outputs = session.run([spec.name for spec in card.outputs], blank, options)
    for spec, output in zip(card.outputs, outputs, strict=True):
        if output.shape[1:] != spec.shape or output.dtype != spec.dtype:
            raise ValueError(f"output {spec.name} is {output.dtype}{output.shape[1:]}, the card says {spec}")


@dataclass
class _Kept:
    """What is kept of one model; `session` is None while it is let go, `wide` until somebody asked for it."""

    path: Path
    session: ort.InferenceSession | None
    used: float
    wide: ort.InferenceSession | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    widening: asyncio.Task[None] | None = None


class Sessions:
    """A session for each `Model`, as long as somebody holds that.

    Args:
        provider: where to compute.
        lanes: cores that a wide session computes on.
        digest_of: digest of a file's bytes; called in `loader`.
        loader: where files are read.
    """

    def __init__(self, provider: Provider, lanes: int, digest_of: Callable[[Path], str], loader: Threads) -> None:
        """Open nothing yet."""
        self._provider = provider
        self._lanes = lanes
        self._digest_of = digest_of
        self._loader = loader
        self._kept: WeakKeyDictionary[Model, _Kept] = WeakKeyDictionary()

    def __len__(self) -> int:
        """Return of how many models something is kept."""
        return len(self._kept)

    async def add(self, model: Model, path: Path, former: Model | None = None) -> None:
        """Open a model and warm it up, by the session of `former` where that is of the same bytes and held.

        Raises:
            ValueError: the file changed meanwhile, or the model is not as its card says.
            Exception: see `open_session`.
        """
        same = self._kept.get(former) if former and former.digest == model.digest else None
        session = await self._in_loader(model, path, same.session if same else None, warm=True)
        self._kept[model] = _Kept(path, session, time.monotonic())

    async def of(self, model: Model) -> ort.InferenceSession:
        """Return the session of a model, opened again where it was let go.

        Raises:
            ModelNotReady: the model is not kept, or its file is no longer what it was.
        """
        kept = self._kept.get(model)
        if kept is None:
            raise ModelNotReady(f"Model {model.name} is not loaded.", retry_after=5)
        kept.used = time.monotonic()
        return kept.session or await self._again(model, kept)

    def wide(self, model: Model) -> ort.InferenceSession | None:
        """Return a second session of a model, of which each run is spread over all lanes' cores.

        None while none is open. The first who asks has it opened for those who come later; its memory is had by
        those models alone that are asked so.
        """
        kept = self._kept.get(model)
        if kept is None or kept.session is None or self._provider != "cpu" or self._lanes == 1:
            return None
        if kept.widening is None:
            kept.widening = asyncio.create_task(self._widen(model, kept), name="widen")
        return kept.wide

    async def let_go(self, idle_seconds: float) -> int:
        """Let go of sessions that nobody has asked for so long, and return of how many; running batches end."""
        due = time.monotonic() - idle_seconds
        idle = [(model, kept) for model, kept in self._kept.items() if kept.session is not None and kept.used < due]
        one = idle[0][1].session if idle else None
        for model, kept in idle:
            kept.session = kept.wide = kept.widening = None
            _log.info("version %d of model %s is let go until it is asked for", model.version, model.name)
        if one is not None and self._provider == "cpu":
            await self._shrink_arena(one, idle[0][0].card)
        return len(idle)

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()

    async def _shrink_arena(self, session: ort.InferenceSession, card: Card) -> None:
        """Give back what runs have worked in, by one more: the arena has no other way."""
        try:
            await self._loader.call(warm_up, session, card)
        except Exception:
            # Where memory is bound, lanes at work may have all of the arena: then there is nothing to give back.
            _log.warning("the arena of the sessions was not shrunk", exc_info=True)

    async def _again(self, model: Model, kept: _Kept) -> ort.InferenceSession:
        async with kept.opening:
            if kept.session is None:
                try:
                    kept.session = await self._in_loader(model, kept.path, None)
                except Exception as error:
                    _log.exception("version %d of model %s cannot be opened again", model.version, model.name)
                    raise ModelNotReady(f"Model {model.name} cannot be opened again.", retry_after=5) from error
            return kept.session

    async def _widen(self, model: Model, kept: _Kept) -> None:
        try:
            kept.wide = await self._in_loader(model, kept.path, None, threads=self._lanes)
        except Exception:
            # The other session answers as before.
            _log.exception("version %d of model %s cannot be opened for several cores", model.version, model.name)

    async def _in_loader(
        self, model: Model, path: Path, held: ort.InferenceSession | None, *, warm: bool = False, threads: int = 1
    ) -> ort.InferenceSession:
        return await self._loader.call(partial(self._open, model, path, held, warm=warm, threads=threads))

    def _open(
        self, model: Model, path: Path, held: ort.InferenceSession | None, *, warm: bool, threads: int
    ) -> ort.InferenceSession:
        session = held or open_session(path, self._provider, threads)
        if self._digest_of(path) != model.digest:
            raise ValueError("the model file changed while it was loaded")
        if warm:
            warm_up(session, model.card)
        return session
