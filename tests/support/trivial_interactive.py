"""Interactive models that cost next to nothing, in every form that the gateway serves.

All answer by one rule, so that a wrong or missing crop, click or feature shows. A pixel of the crop has the brightness
of its green channel as probability where it is near an inside click and not near an outside one (`probability_of`),
near being a square of `size` / 4 (inside, extreme points) or `size` / 8 (outside) pixels to each side. The refinement
answers 0 everywhere when the first clicks, which its features remember, are not among the clicks that it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gateway.repository.card import Card, ClassSpec, ClickSpec, Network, TensorSpec, read_card
from gateway.repository.store import file_digest
from tests.support.trivial import declare_version, made_by_hand, write_folder

Pixels = NDArray[np.uint8]
Nodes = list[onnx.NodeProto]
NAMES = ("click-lite0", "click-lite0-encoder", "dextr", "iog")
_ENCODERS = {"click-lite0": "click-lite0-encoder", "iog_refine": "iog_refine_encoder"}
"""Model that takes features → the one that gives them."""

FEATURE_STRIDES = {"features_1": 4, "features_2": 8, "features_3": 16, "features_4": 16}
"""Feature map → how many crop pixels a side of one of its positions holds, and the square of that is its channels."""

REMEMBERED = ("bright", "inside", "outside", "bright")
"""What each feature map holds: green of the crop, first inside click, the box's corners, green again."""

_THRESHOLDS = {"dextr": 0.8}
_CLASSES = (
    ClassSpec(value=0, name="background", colour=(0, 0, 0)),
    ClassSpec(value=1, name="object", colour=(255, 0, 0)),
)


def probability_of(crop: Pixels, clicks: Pixels, cap: int = 255) -> Pixels:
    """Return what each of the models answers, uint8 (S, S), for a crop (S, S, 3) and click maps (S, S, 1 or 2)."""
    size = len(crop)
    counted = _near(clicks[..., 0], size // 4) > (_near(clicks[..., 1], size // 8) if clicks.shape[-1] == 2 else 0)
    return np.where(counted, np.minimum(crop[..., 1], cap), 0).astype(np.uint8)


def _near(clicks: Pixels, reach: int) -> Pixels:
    return np.asarray(cv2.dilate(clicks, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)


def write_trivial_interactive(
    root: Path, names: Sequence[str] = NAMES, *, size: int = 32, margin: int = 30, max_batch_size: int = 8
) -> Path:
    """Write the interactive models `names`, of one version each, under `root` and return it.

    `size` is a multiple of 16.
    """
    for name in names:
        directory = root / name
        (directory / "1").mkdir(parents=True)
        _save(directory, 1, size, 255)
        card = _card(name, size, margin, max_batch_size, file_digest(directory / "1" / "model.onnx"))
        write_folder(card, directory)
    return root


def write_interactive_version(directory: Path, version: int, cap: int) -> str:
    """Add a version to an interactive model, or replace it, and return its digest; it answers nothing above `cap`."""
    clicks = read_card(directory / "card.json").clicks
    assert clicks is not None
    (directory / str(version)).mkdir(exist_ok=True)
    _save(directory, version, clicks.size, cap)
    return declare_version(directory, version)


def _card(name: str, size: int, margin: int, max_batch_size: int, digest: str) -> Card:
    task: str = "interactive-encoder" if name in _ENCODERS.values() else "interactive"
    inputs, outputs = _tensors(name, size)
    return Card(
        name=name,
        title="Trivial",
        task=task,
        summary="Green near clicks.",
        inputs=inputs,
        outputs=outputs,
        max_batch_size=max_batch_size,
        classes=_CLASSES,
        threshold=_THRESHOLDS.get(name, 0.5),
        clicks=ClickSpec(
            prompt="dextr" if name == "dextr" else "iog",
            size=size,
            margin=margin,
            sigma=10 * size / 512,
            push=0 if name == "dextr" else 10 * size / 512,
            encoder=_ENCODERS.get(name),
        ),
        network=Network(architecture="rule", width=1, parameters=1),
        digests={"1": digest},
        **made_by_hand(),
    )


def _tensors(name: str, size: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and the outputs."""
    crop = TensorSpec(name="crop", dtype="uint8", shape=(size, size, 3))
    clicks = TensorSpec(name="clicks", dtype="uint8", shape=(size, size, 1 if name == "dextr" else 2))
    probability = TensorSpec(name="probability", dtype="uint8", shape=(size, size))
    features = tuple(
        TensorSpec(name=feature, dtype="float16", shape=(stride * stride, size // stride, size // stride))
        for feature, stride in FEATURE_STRIDES.items()
    )
    if name in _ENCODERS.values():
        return (crop, clicks), features
    return ((*features, clicks) if name in _ENCODERS else (crop, clicks)), (probability,)


def _save(directory: Path, version: int, size: int, cap: int) -> None:
    name = directory.name
    inputs, outputs = _tensors(name, size)
    makers = dict.fromkeys(_ENCODERS, _head) | dict.fromkeys(_ENCODERS.values(), _encoder) | {"dextr": _extreme}
    nodes = makers.get(name, _guided)(size)
    constants: dict[str, np.ndarray] = {
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "zero": np.array(0, np.float32),
        "cap": np.array(cap, np.float32),
    }
    used = {tensor for node in nodes for tensor in node.input}
    graph = helper.make_graph(
        nodes,
        "trivial",
        [_value_info(spec) for spec in inputs],
        [_value_info(spec) for spec in outputs],
        [numpy_helper.from_array(value, key) for key, value in constants.items() if key in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, directory / str(version) / "model.onnx")


def _guided(size: int) -> Nodes:
    return [
        *_channel("crop", "second", "green"),
        helper.make_node("Min", ["green", "cap"], ["bright"]),
        *_clicked(size),
        *_answer("counted"),
    ]


def _extreme(size: int) -> Nodes:
    return [
        *_channel("crop", "second", "green"),
        helper.make_node("Min", ["green", "cap"], ["bright"]),
        *_channel("clicks", "first", "inside"),
        _spread("inside", "near inside", size // 4),
        helper.make_node("Greater", ["near inside", "zero"], ["counted"]),
        *_answer("counted"),
    ]


def _encoder(_: int) -> Nodes:
    nodes = [
        *_channel("crop", "second", "green"),
        helper.make_node("Min", ["green", "cap"], ["bright"]),
        *_channel("clicks", "first", "inside"),
        *_channel("clicks", "second", "outside"),
    ]
    for (feature, stride), remembered in zip(FEATURE_STRIDES.items(), REMEMBERED, strict=True):
        nodes += [
            helper.make_node("SpaceToDepth", [remembered], [f"{feature} exactly"], blocksize=stride),
            helper.make_node("Cast", [f"{feature} exactly"], [feature], to=TensorProto.FLOAT16),
        ]
    return nodes


def _head(size: int) -> Nodes:
    nodes = _clicked(size)
    for feature, stride in FEATURE_STRIDES.items():
        nodes += [
            helper.make_node("Cast", [feature], [f"{feature} exactly"], to=TensorProto.FLOAT),
            helper.make_node("DepthToSpace", [f"{feature} exactly"], [f"{feature} in place"], blocksize=stride),
        ]
    return [
        *nodes,
        helper.make_node("Min", ["features_1 in place", "features_4 in place", "cap"], ["bright"]),
        helper.make_node("Sub", ["features_2 in place", "inside"], ["less inside"]),
        helper.make_node("Sub", ["features_3 in place", "outside"], ["less outside"]),
        helper.make_node("Max", ["less inside", "less outside"], ["less"]),
        helper.make_node("GlobalMaxPool", ["less"], ["least"]),
        helper.make_node("Greater", ["least", "zero"], ["forgotten"]),
        helper.make_node("Not", ["forgotten"], ["remembered"]),
        helper.make_node("And", ["counted", "remembered"], ["trusted"]),
        *_answer("trusted"),
    ]


def _channel(image: str, index: str, channel: str) -> Nodes:
    """Make float (N, 1, S, S) `channel` of uint8 (N, S, S, C) `image`."""
    return [
        helper.make_node("Gather", [image, index], [f"{channel} last"], axis=3),
        helper.make_node("Transpose", [f"{channel} last"], [f"{channel} first"], perm=(0, 3, 1, 2)),
        helper.make_node("Cast", [f"{channel} first"], [channel], to=TensorProto.FLOAT),
    ]


def _spread(clicks: str, near: str, reach: int) -> onnx.NodeProto:
    return helper.make_node("MaxPool", [clicks], [near], kernel_shape=[2 * reach + 1] * 2, pads=[reach] * 4)


def _clicked(size: int) -> Nodes:
    """Make `counted`, where a pixel is near an inside click and not near an outside one."""
    return [
        *_channel("clicks", "first", "inside"),
        *_channel("clicks", "second", "outside"),
        _spread("inside", "near inside", size // 4),
        _spread("outside", "near outside", size // 8),
        helper.make_node("Greater", ["near inside", "near outside"], ["counted"]),
    ]


def _answer(condition: str) -> Nodes:
    return [
        helper.make_node("Where", [condition, "bright", "zero"], ["answer"]),
        helper.make_node("Squeeze", ["answer", "second"], ["plane"]),
        helper.make_node("Cast", ["plane"], ["probability"], to=TensorProto.UINT8),
    ]


def _value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, element, ["batch", *spec.shape])
