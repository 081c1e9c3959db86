"""Weights kept in half precision: half the file, the same computation."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LEAST = 20_000
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
    return values.size >= LEAST and float(np.abs(values).max()) <= _LARGEST
