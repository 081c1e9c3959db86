"""The gate: sound files pass with a full report, altered ones do not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.errors import ParityError
from export.graphs.contract import Graph, to_torchscript
from export.graphs.framing import Framing
from export.graphs.runners import FileFormat
from export.parity.cases import Case, Files
from export.parity.gate import TOLERANCE_FLIPPED, TOLERANCE_PROBABILITY, prove
from export.parity.inputs import draw_tiles
from export.tasks.damage.graph import cases_of, serve
from export.tasks.damage.spec import DamageSpec
from tests.support.checkpoints import small_entries, untrained
from tests.support.exports import onnx_once

pytestmark = [pytest.mark.processors, pytest.mark.training]

TILE = 64


def _cases(graph: Graph, files: Files) -> list[Case]:
    return cases_of(graph.module, [graph], [files], None)


def served(seed: int = 0, threshold: float = 0.5) -> Graph:
    [entry] = small_entries("siamunet")
    assert isinstance(entry, DamageSpec)
    module = serve(untrained("siamunet", seed), entry.inputs, Framing(2, threshold))
    return Graph(module, entry.input_specs(), entry.output_specs())


@pytest.fixture(scope="module")
def graph() -> Graph:
    return served()


@pytest.fixture(scope="module")
def files(graph: Graph) -> dict[FileFormat, bytes]:
    return {"onnx": onnx_once(graph), "torchscript": to_torchscript(graph)}


def perturbed(file: bytes, amount: float) -> bytes:
    """Return an ONNX file with the weights of its last layer multiplied by 1 + `amount`."""
    proto = onnx.load_from_string(file)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name.endswith("head.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1 + amount), weight.name))
    return bytes(proto.SerializeToString())


def test_both_formats_are_compared_on_every_kind_of_tiles_and_batch(
    graph: Graph, files: dict[FileFormat, bytes]
) -> None:
    parity = prove(_cases(graph, files), 8)
    assert {(d.format, d.tiles, d.batch) for d in parity.comparisons} == {
        (file_format, kind, batch)
        for file_format in ("onnx", "torchscript")
        for kind in ("noise", "constant", "natural")
        for batch in (1, 3, 8)
    }
    assert len(parity.comparisons) == 18
    assert all(d.probability_difference <= TOLERANCE_PROBABILITY for d in parity.comparisons)
    assert all(d.flipped_share <= TOLERANCE_FLIPPED for d in parity.comparisons)
    assert parity.versions.keys() == {"torch", "onnxruntime"}


def test_a_changed_weight_closes_the_gate(graph: Graph, files: dict[FileFormat, bytes]) -> None:
    with pytest.raises(ParityError, match=r"onnx on (noise|constant|natural) tiles, batch \d: probabilities differ"):
        prove(_cases(graph, {**files, "onnx": perturbed(files["onnx"], 0.5)}), 3)


def test_the_worst_comparison_is_named(graph: Graph, files: dict[FileFormat, bytes]) -> None:
    other = to_torchscript(served(seed=1))
    with pytest.raises(ParityError, match=r"^torchscript on "):
        prove(_cases(graph, {**files, "torchscript": other}), 3)


def test_the_decision_is_compared_too(files: dict[FileFormat, bytes]) -> None:
    with pytest.raises(ParityError, match=r"differ by up to 0\.00.*of the labels flip"):
        prove(_cases(served(threshold=0.6), {"onnx": files["onnx"]}), 3)


def test_a_file_that_cannot_run_a_batch_closes_the_gate(graph: Graph, files: dict[FileFormat, bytes]) -> None:
    proto = onnx.load_from_string(files["onnx"])
    for value in proto.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ParityError, match="onnx fails on noise tiles, batch 3"):
        prove(_cases(graph, {"onnx": proto.SerializeToString()}), 3)


def test_swapped_outputs_close_the_gate(graph: Graph, files: dict[FileFormat, bytes]) -> None:
    proto = onnx.load_from_string(files["onnx"])
    # Both are uint8; only their shapes tell.
    first, second = proto.graph.output
    names = {first.name: second.name, second.name: first.name}
    for node in proto.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    with pytest.raises(ParityError, match="gives label_map as uint8"):
        prove(_cases(graph, {"onnx": proto.SerializeToString()}), 1)


@pytest.mark.parametrize("kind", ["noise", "constant", "natural"])
def test_tiles_are_the_same_every_time_and_differ_from_each_other(kind: str) -> None:
    tiles = draw_tiles(kind, 2, 8, TILE)  # type: ignore[arg-type]
    again = draw_tiles(kind, 2, 8, TILE)  # type: ignore[arg-type]
    assert [tile.shape for tile in tiles] == [(8, TILE, TILE, 3)] * 2
    assert all(tile.dtype == np.uint8 for tile in tiles)
    assert all(np.array_equal(a, b) for a, b in zip(tiles, again, strict=True))
    assert len({tile.tobytes() for role in tiles for tile in role}) >= 8
    assert not np.array_equal(tiles[0], tiles[1])
