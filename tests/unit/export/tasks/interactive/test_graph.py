"""Interactive models within their tensor contract, and the two files they are written to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from export.graphs.contract import graph_of, to_onnx, to_torchscript
from export.graphs.runners import FileFormat, open_file
from export.parity.inputs import draw_clicked
from export.registry import CATALOG
from export.tasks.interactive.spec import FEATURES, InteractiveSpec
from tests.support.checkpoints import SIZE, checkpoint, click_inputs, small_entry, untrained
from tests.support.exports import exported, graph

pytestmark = [pytest.mark.processors, pytest.mark.training]

NAMES = tuple(name for name, entry in CATALOG.items() if isinstance(entry, InteractiveSpec))
IOG_FEATURES = tuple(zip((16, 32, 64, 128), (4, 8, 16, 16), strict=True))
LITE0_FEATURES = tuple(zip((1, 3, 4, 6), (2, 4, 8, 16), strict=True))
"""Channels and strides of the feature maps at the width of the tests."""


def drawn(name: str, count: int = 4) -> list[np.ndarray]:
    """Return what the graph `name` takes; a head is given torch's features."""
    maps = 1 if name == "dextr" else 2
    crops, first, clicks = draw_clicked("natural", maps, count, SIZE)
    entry = CATALOG[name]
    if not isinstance(entry, InteractiveSpec) or entry.encoder is None:
        return [crops, first]
    with torch.inference_mode():
        features = graph(entry.encoder).module(torch.from_numpy(crops), torch.from_numpy(first))
    return [*(feature.numpy() for feature in features), clicks]


def expected(logits: Tensor) -> Tensor:
    """Return 255 times the probability, as the pipelines of the papers have it."""
    full = F.interpolate(logits, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    return 255 * torch.sigmoid(full[:, 0])


@pytest.mark.parametrize("name", ["iog", "dextr"])
def test_a_graph_computes_what_the_contract_says(name: str) -> None:
    with torch.inference_mode():
        answer = graph(name).module(*map(torch.from_numpy, drawn(name)))
        wanted = expected(untrained(name)(*click_inputs(name))[-1])
    assert answer.dtype == torch.uint8
    assert (answer - wanted).abs().max() < 0.51
    assert len(answer.unique()) > 100


def test_encoder_and_head_compute_what_the_undivided_network_does() -> None:
    with torch.inference_mode():
        answer = graph("iog_refine").module(*map(torch.from_numpy, drawn("iog_refine")))
        wanted = expected(untrained("iog_refine")(*click_inputs("iog_refine"))[-1])
    assert answer.dtype == torch.uint8
    assert (answer - wanted).abs().max() < 1.51, "features are rounded to half precision on the way"


def test_a_further_click_changes_the_answer() -> None:
    module = graph("iog_refine").module
    *features, clicks = map(torch.from_numpy, drawn("iog_refine"))
    first = torch.from_numpy(draw_clicked("natural", 2, 4, SIZE).first)
    with torch.inference_mode():
        assert not torch.equal(module(*features, clicks), module(*features, first))


@pytest.mark.parametrize("name", NAMES)
def test_onnx_has_the_tensors_of_the_contract(name: str) -> None:
    proto = onnx.load_from_string(exported(name, "onnx")).graph

    def tensors(values: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[str, list[int | str]]]:
        return {
            value.name: (
                onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
                [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
            )
            for value in values
        }

    crop = {"crop": ("UINT8", ["batch", SIZE, SIZE, 3])}
    clicks = {"clicks": ("UINT8", ["batch", SIZE, SIZE, 1 if name == "dextr" else 2])}
    features, lite0 = (
        {
            feature: ("FLOAT16", ["batch", channels, SIZE // stride, SIZE // stride])
            for feature, (channels, stride) in zip(FEATURES, maps, strict=True)
        }
        for maps in (IOG_FEATURES, LITE0_FEATURES)
    )
    probability = {"probability": ("UINT8", ["batch", SIZE, SIZE])}
    contracts = {
        "iog_refine_encoder": (crop | clicks, features),
        "iog_refine": (features | clicks, probability),
        "click-lite0-encoder": (crop | clicks, lite0),
        "click-lite0": (lite0 | clicks, probability),
    }
    assert (tensors(proto.input), tensors(proto.output)) == contracts.get(name, (crop | clicks, probability))
    assert list(tensors(proto.input))[-1] == "clicks"


@pytest.mark.parametrize("name", NAMES)
def test_onnx_holds_no_training_and_no_weight_it_does_not_use(name: str) -> None:
    proto = onnx.load_from_string(exported(name, "onnx")).graph
    operators = {node.op_type for node in proto.node}
    assert operators.isdisjoint({"BatchNormalization", "Identity", "ConstantOfShape", "ScatterND"})
    used = {tensor for node in proto.node for tensor in node.input}
    assert {weight.name for weight in proto.initializer} <= used
    parts = {
        part for part in ("backbone", "psp4", "upsamples.0") for weight in proto.initializer if part in weight.name
    }
    wanted = {
        "iog": {"backbone", "psp4"},
        "iog_refine_encoder": {"backbone"},
        "iog_refine": {"psp4"},
        "click-lite0-encoder": {"backbone"},
    }
    assert parts == wanted.get(name, set())


@pytest.mark.parametrize("file_format", ["onnx", "torchscript"])
@pytest.mark.parametrize("name", NAMES)
def test_any_batch_size_gives_the_same_answers(name: str, file_format: FileFormat) -> None:
    each = graph(name)
    run = open_file(
        exported(name, file_format), file_format, [s.name for s in each.inputs], [s.name for s in each.outputs]
    )
    inputs = drawn(name)
    for index, together in enumerate(run(inputs)):
        alone = np.concatenate([run([batch[i : i + 1] for batch in inputs])[index] for i in range(4)])
        np.testing.assert_allclose(together.astype(np.float32), alone.astype(np.float32), rtol=2e-3, atol=1)


def test_the_same_network_gives_the_same_bytes() -> None:
    again = graph_of(untrained("iog_refine"), checkpoint("iog_refine"), small_entry("iog_refine_encoder"))
    assert to_onnx(again) == exported("iog_refine_encoder", "onnx")
    assert to_torchscript(again) == exported("iog_refine_encoder", "torchscript")
