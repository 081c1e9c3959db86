"""Interactive graphs of small, untrained networks and their files, exported once for all tests that look at them."""

from __future__ import annotations

from functools import cache

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
    return (to_onnx if file_format == "onnx" else to_torchscript)(graph(name, seed))


@cache
def refinement() -> IOGRefine:
    """Return the network of the two graphs of IOG's refinement."""
    network = untrained("iog_refine")
    assert isinstance(network, IOGRefine)
    return network
