"""A module within its tensor contract, and the two files it is written to."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint
from export.registry import task_of_model
from export.task import ModelSpec, Tensors

OPSET = 18
"""Oldest ONNX operator set that today's exporter writes without conversion; every runtime since 2023 reads it."""


@dataclass(frozen=True)
class Graph:
    """A module whose `forward` has an argument for each of `inputs`, by its name, and gives `outputs`, in order."""

    module: nn.Module
    inputs: Tensors
    outputs: Tensors


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: ModelSpec) -> Graph:
    """Return the graph that `spec` wants of `checkpoint.network()`.

    Raises:
        ValueError: the network cannot be served so.
    """
    graph: Graph = task_of_model(spec).module("graph").graph_of(network, checkpoint, spec)
    return graph


def to_onnx(graph: Graph) -> bytes:
    """Return `graph` as an ONNX file for any batch size.

    Batch normalisation is folded into the convolutions. The bytes depend on the network alone: no path, no time.
    """
    batch = torch.export.Dim("batch", min=1)
    with _exporters_own_warnings():
        program = torch.onnx.export(
            graph.module,
            _example(graph),
            input_names=[spec.name for spec in graph.inputs],
            output_names=[spec.name for spec in graph.outputs],
            opset_version=OPSET,
            dynamic_shapes=tuple({0: batch} for _ in graph.inputs),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    proto = program.model_proto
    _strip(proto)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def to_torchscript(graph: Graph) -> bytes:
    """Return `graph` as a TorchScript file for any batch size.

    The module is frozen: one flat graph with constant weights. It runs on the device given to `torch.jit.load`, as
    Triton gives it, and cannot be moved afterwards.
    """
    saved = io.BytesIO()
    with _exporters_own_warnings():
        traced = torch.jit.trace(graph.module, _example(graph), check_trace=False)
        torch.jit.save(torch.jit.freeze(traced), saved)
    return _reproducible(saved.getvalue())


def _example(graph: Graph) -> tuple[Tensor, ...]:
    """Return a batch of two per input: with one, the exporter would take the batch axis for a constant."""
    return tuple(torch.zeros(2, *spec.shape, dtype=getattr(torch, spec.dtype)) for spec in graph.inputs)


@contextmanager
def _exporters_own_warnings() -> Iterator[None]:
    """Silence what the exporters say of themselves: torch 2.13 deprecates TorchScript, which Triton still serves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)
        # All inputs share one batch axis on purpose.
        warnings.filterwarnings("ignore", message=r".*axis name: batch", category=UserWarning)
        yield


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes: stack traces with the paths of this machine, longer than the graph itself."""
    graph = proto.graph
    del proto.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    parts: Iterable[Any] = chain(graph.node, graph.input, graph.output, graph.initializer)
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""


def _reproducible(archive: bytes) -> bytes:
    """Return a TorchScript archive without what is not the model's own.

    That is times, debug records, which name source files of this machine, and the number that a class name gets when
    one process exports more than once. A frozen module is a single class, so no other name can collide with it.
    """
    counter = re.compile(rb"[./]___torch_mangle_\d+")
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith((".debug_pkl", "serialization_id")):
                continue
            if name.endswith((".py", "data.pkl")):
                content = counter.sub(b"", content)
            target.writestr(zipfile.ZipInfo(counter.sub(b"", name.encode()).decode()), content)
    return written.getvalue()
