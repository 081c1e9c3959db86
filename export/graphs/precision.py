"""Graphs in less than float32: weights kept in half precision, or all of it computed in 8-bit integers.

Half precision is half the file and the same computation. Integers are static quantisation, calibrated on tiles of
training images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

CALIBRATION_TILES = 24
"""How many tiles the ranges of activations are taken from."""

Feeds = Mapping[str, NDArray[Any]]

# Clip and Relu have no integers of their own: they become the range of the convolution before them.
_COMPUTED = ("Conv", "Add", "Concat", "MaxPool", "Resize")

LEAST_HALVED = 10_000
"""Values from which on a tensor is halved. Smaller ones are constants and narrow layers: they weigh little in the file,
and rounding the first layers shows, since over even ground their errors add up."""

_LARGEST = float(np.finfo(np.float16).max)


def in_half_precision(onnx_file: bytes) -> bytes:
    """Return an ONNX file whose large float32 constants are stored as float16 and cast back to float32.

    Runtimes do the casts once, when they load the file, and compute in float32 throughout. A constant with a value
    beyond float16 stays as it is.
    """
    proto = onnx.load_model_from_string(onnx_file)
    kept, casts = [], []
    for constant in proto.graph.initializer:
        if constant.data_type != TensorProto.FLOAT or not _can_be_halved(values := numpy_helper.to_array(constant)):
            kept.append(constant)
            continue
        halved = f"{constant.name}.half"
        kept.append(numpy_helper.from_array(values.astype(np.float16), halved))
        casts.append(helper.make_node("Cast", [halved], [constant.name], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend(kept)
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _can_be_halved(values: NDArray[np.float32]) -> bool:
    return values.size >= LEAST_HALVED and float(np.abs(values).max()) <= _LARGEST


def in_integers(onnx_file: bytes, tiles: Sequence[Feeds]) -> bytes:
    """Return an ONNX file whose convolutions, and what lies between them, compute in 8-bit integers.

    Weights are of 7 bits, symmetric per output channel, activations of 8, unsigned per tensor: sums of two products
    then fit 16 bits, in which processors without VNNI add them. Every integer tensor is said by a pair of
    QuantizeLinear and DequantizeLinear, which runtimes fuse. What leads to the first convolution and what follows
    the last one stays in float32, and so do transposed convolutions, slices and differences.

    Args:
        onnx_file: in float32.
        tiles: inputs by name, each a batch of one, that ranges of activations are taken from.

    Raises:
        ValueError: the graph has fewer than two convolutions.
    """
    with TemporaryDirectory() as folder:
        whole, prepared, quantised = (Path(folder) / f"{name}.onnx" for name in ("whole", "prepared", "quantised"))
        whole.write_bytes(onnx_file)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Tiles(tiles),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_COMPUTED),
            nodes_to_exclude=_around(onnx.load_model(prepared)),
            calibrate_method=CalibrationMethod.MinMax,
        )
        proto = onnx.load_model(quantised)
    # The tool signs what it writes with its version and leaves shapes that are not needed.
    proto.producer_name, proto.producer_version = "", ""
    del proto.metadata_props[:], proto.graph.value_info[:]
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _around(proto: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes outside the convolutions, and of the last one: its logits keep their precision."""
    nodes = list(proto.graph.node)
    convolutions = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    if len(convolutions) < 2:
        raise ValueError("there is nothing to compute in integers: the graph has fewer than two convolutions")
    reached = {nodes[convolutions[0]].output[0]}
    for node in nodes:
        if node.op_type == "Conv" or reached & set(node.input):
            reached |= set(node.output)
    last = convolutions[-1]
    before = [node.name for node in nodes if not reached & set(node.output)]
    return before + [node.name for node in nodes[last:]]


class _Tiles(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no annotations
    """Hands the tiles out, one after the other."""

    def __init__(self, tiles: Sequence[Feeds]) -> None:
        self._tiles: Iterator[Feeds] = iter(tiles)

    def get_next(self) -> Feeds | None:
        return next(self._tiles, None)
