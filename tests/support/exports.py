"""Graphs of small networks and their files, exported once for all tests that look at them."""

from __future__ import annotations

import hashlib
import io
import os
from functools import cache
from pathlib import Path

import torch

from export.graphs.contract import Graph, graph_of, to_onnx, to_torchscript
from export.graphs.runners import FileFormat
from export.networks.iog import IOGRefine
from export.registry import CATALOG
from tests.support.checkpoints import checkpoint, small_entry, untrained


@cache
def graph(name: str, seed: int = 0) -> Graph:
    """Return the graph of a model of the catalogue."""
    architecture = CATALOG[name].architecture
    return graph_of(untrained(architecture, seed), checkpoint(architecture), small_entry(name))


@cache
def exported(name: str, file_format: FileFormat, seed: int = 0) -> bytes:
    """Return its file."""
    return (onnx_once if file_format == "onnx" else to_torchscript)(graph(name, seed))


@cache
def refinement() -> IOGRefine:
    """Return the network of the two graphs of IOG's refinement."""
    network = untrained("iog_refine")
    assert isinstance(network, IOGRefine)
    return network


KEPT = os.environ.get("TESTS_EXPORTS")
"""A folder that processes share exported files in; unset: none."""

_files: dict[str, bytes] = {}


def onnx_once(graph: Graph) -> bytes:
    """Return what `to_onnx` does, from memory or `KEPT` where a module of the same content has been exported before."""
    content = io.BytesIO()
    torch.save((graph.module, graph.inputs, graph.outputs), content)
    key = hashlib.sha256(content.getvalue()).hexdigest()
    if key not in _files:
        _files[key] = to_onnx(graph) if KEPT is None else _kept(Path(KEPT, key), graph)
    return _files[key]


def _kept(file: Path, graph: Graph) -> bytes:
    if not file.is_file():
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_bytes(to_onnx(graph))
        partial.replace(file)
    return file.read_bytes()
