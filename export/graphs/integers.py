"""Graphs that compute in 8-bit integers: static quantisation, calibrated on tiles of training images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

CALIBRATION_TILES = 24
"""How many tiles the ranges of activations are taken from."""

Feeds = Mapping[str, NDArray[Any]]

# Clip and Relu have no integers of their own: they become the range of the convolution before them.
_COMPUTED = ("Conv", "Add", "Concat", "MaxPool", "Resize")


def in_integers(onnx_file: bytes, tiles: Sequence[Feeds]) -> bytes:
    """Return an ONNX file whose convolutions, and what lies between them, compute in 8-bit integers.

    Weights are symmetric per output channel, activations unsigned per tensor; every integer tensor is said by a pair
    of QuantizeLinear and DequantizeLinear, which runtimes fuse. What leads to the first convolution and what follows
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
