"""Weights in half precision: half the file, and the answers of weights that were rounded by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.graphs.precision import LEAST_HALVED, in_half_precision

pytestmark = pytest.mark.processors

RNG = np.random.default_rng(0)


def product(weights: np.ndarray) -> bytes:
    """Return a file that multiplies rows of float32 with `weights`."""
    rows, columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def answer(file: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_halves_the_file_and_computes_in_single_precision() -> None:
    weights = RNG.normal(size=(64, 320)).astype(np.float32)
    x = RNG.normal(size=(3, 64)).astype(np.float32)
    halved = in_half_precision(product(weights))
    assert len(halved) < 0.55 * len(product(weights))
    # Rounding to half precision moves a sum of 64 products by some 1e-3, sums in another order by some 1e-6.
    np.testing.assert_allclose(answer(halved, x), answer(product(weights.astype(np.float16)), x), rtol=0, atol=1e-4)
    assert np.abs(answer(halved, x) - answer(product(weights), x)).max() > 1e-4


@pytest.mark.parametrize(
    "weights", [RNG.normal(size=(1, LEAST_HALVED - 1)), np.full((64, 320), 70_000.0)], ids=["small", "beyond float16"]
)
def test_leaves_alone_what_is_small_or_beyond_half_precision(weights: np.ndarray) -> None:
    kept = onnx.load_model_from_string(in_half_precision(product(weights)))
    assert [each.data_type for each in kept.graph.initializer] == [TensorProto.FLOAT]
    assert [node.op_type for node in kept.graph.node] == ["MatMul"]


def test_is_the_same_bytes_each_time() -> None:
    file = product(RNG.normal(size=(64, 320)))
    assert in_half_precision(file) == in_half_precision(file)
