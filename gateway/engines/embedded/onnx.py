"""Opening an ONNX graph, and seeing that it does what its card says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort

from gateway.repository.card import Card

Provider = Literal["cpu", "cuda"]

_PROVIDERS: dict[Provider, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def open_session(path: Path, provider: Provider) -> ort.InferenceSession:
    """Return a session that computes on the thread which calls it.

    Raises:
        Exception: of many kinds; ONNX Runtime has no common base for its own.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=[_PROVIDERS[provider]])


def warm_up(session: ort.InferenceSession, card: Card) -> None:
    """Run one blank tile, so that no request pays for what ONNX Runtime puts off until the first run.

    Raises:
        ValueError: an output is not what the card says.
        Exception: the graph cannot be run with the card's inputs; see `open_session`.
    """
    blank = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in card.inputs}
    options = ort.RunOptions()
    if session.get_providers() == [_PROVIDERS["cpu"]]:
        # What the run worked in is given back: of many models few are at work at a time.
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    outputs = session.run([spec.name for spec in card.outputs], blank, options)
    for spec, output in zip(card.outputs, outputs, strict=True):
        if output.shape[1:] != spec.shape or output.dtype != spec.dtype:
            raise ValueError(f"output {spec.name} is {output.dtype}{output.shape[1:]}, the card says {spec}")
