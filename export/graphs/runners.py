"""Graphs and exported files as functions of arrays."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

FileFormat = Literal["onnx", "torchscript"]
Pixels = NDArray[np.uint8]
Arrays = tuple[NDArray[Any], ...]
Runner = Callable[[Sequence[NDArray[Any]]], Arrays]
"""Takes one batch per input and returns one per output, both in the graph's order."""


def open_file(file: bytes, file_format: FileFormat, inputs: Sequence[str], outputs: Sequence[str]) -> Runner:
    """Return an exported file as a function of arrays; the names are those of its tensors, in order."""
    return _open_onnx(file, inputs, outputs) if file_format == "onnx" else _open_torchscript(file)


def torch_runner(module: torch.nn.Module, device: str = "cpu") -> Runner:
    """Return a module that takes tensors and gives one or more, on a device, as a function of arrays."""
    module.to(device)

    def run(batches: Sequence[NDArray[Any]]) -> Arrays:
        with torch.inference_mode():
            answer = module(*(torch.from_numpy(batch).to(device) for batch in batches))
        return tuple(tensor.cpu().numpy() for tensor in (answer if isinstance(answer, tuple) else (answer,)))

    return run


def _open_torchscript(file: bytes) -> Runner:
    with warnings.catch_warnings():
        # torch 2.13 deprecates TorchScript, which Triton still serves.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return torch_runner(torch.jit.load(io.BytesIO(file), map_location="cpu"))


def _open_onnx(file: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> Runner:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(batches: Sequence[NDArray[Any]]) -> Arrays:
        return tuple(session.run(list(outputs), dict(zip(inputs, batches, strict=True))))

    return run
