"""The gate: sound files pass with a full report, altered ones do not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.errors import ParityError
from export.framing import Framing
from export.graph import ServedModel, serve, to_onnx, to_torchscript
from export.parity import TOLERANCE_FLIPPED, TOLERANCE_PROBABILITY, FileFormat, draw_tiles, prove
from tests.support.checkpoints import untrained

TILE = 64


@pytest.fixture(scope="module")
def model() -> ServedModel:
    return serve(untrained("siamunet"), ("pre", "post"), Framing(2, 0.5))


@pytest.fixture(scope="module")
def files(model: ServedModel) -> dict[FileFormat, bytes]:
    return {"onnx": to_onnx(model, TILE), "torchscript": to_torchscript(model, TILE)}


def perturbed(file: bytes, amount: float) -> bytes:
    """Return an ONNX file with the weights of its last layer multiplied by 1 + `amount`."""
    proto = onnx.load_from_string(file)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name.endswith("head.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1 + amount), weight.name))
    return bytes(proto.SerializeToString())


def test_both_formats_are_compared_on_every_kind_of_tiles_and_batch(
    model: ServedModel, files: dict[FileFormat, bytes]
) -> None:
    parity = prove(model, files, TILE, 8)
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


def test_a_changed_weight_closes_the_gate(model: ServedModel, files: dict[FileFormat, bytes]) -> None:
    with pytest.raises(ParityError, match=r"onnx on (noise|constant|natural) tiles, batch \d: probabilities differ"):
        prove(model, {**files, "onnx": perturbed(files["onnx"], 0.5)}, TILE, 3)


def test_the_worst_comparison_is_named(model: ServedModel, files: dict[FileFormat, bytes]) -> None:
    other = serve(untrained("siamunet", seed=1), model.roles, Framing(2, 0.5))
    with pytest.raises(ParityError, match=r"^torchscript on "):
        prove(model, {**files, "torchscript": to_torchscript(other, TILE)}, TILE, 3)


def test_the_decision_is_compared_too(model: ServedModel, files: dict[FileFormat, bytes]) -> None:
    other = serve(model.network, model.roles, Framing(2, 0.6))
    with pytest.raises(ParityError, match=r"differ by up to 0\.00.*of the labels flip"):
        prove(other, {"onnx": files["onnx"]}, TILE, 3)


def test_a_file_that_cannot_run_a_batch_closes_the_gate(model: ServedModel, files: dict[FileFormat, bytes]) -> None:
    proto = onnx.load_from_string(files["onnx"])
    for value in proto.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ParityError, match="onnx fails on noise tiles, batch 3"):
        prove(model, {"onnx": proto.SerializeToString()}, TILE, 3)


def test_swapped_outputs_close_the_gate(model: ServedModel, files: dict[FileFormat, bytes]) -> None:
    proto = onnx.load_from_string(files["onnx"])
    # Both are uint8; only their shapes tell.
    first, second = proto.graph.output
    names = {first.name: second.name, second.name: first.name}
    for node in proto.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    with pytest.raises(ParityError, match="gives label_map as uint8"):
        prove(model, {"onnx": proto.SerializeToString()}, TILE, 1)


@pytest.mark.parametrize("kind", ["noise", "constant", "natural"])
def test_tiles_are_the_same_every_time_and_differ_from_each_other(kind: str) -> None:
    tiles = draw_tiles(kind, 2, 8, TILE)  # type: ignore[arg-type]
    again = draw_tiles(kind, 2, 8, TILE)  # type: ignore[arg-type]
    assert [tile.shape for tile in tiles] == [(8, TILE, TILE, 3)] * 2
    assert all(tile.dtype == np.uint8 for tile in tiles)
    assert all(np.array_equal(a, b) for a, b in zip(tiles, again, strict=True))
    assert len({tile.tobytes() for role in tiles for tile in role}) >= 8
    assert not np.array_equal(tiles[0], tiles[1])
