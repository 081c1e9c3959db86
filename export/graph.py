"""A trained network inside the tensor contract, and its two file formats."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from math import ceil
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.architectures import MEAN, STD
from export.catalog import OUTPUTS
from export.framing import Framing

OPSET = 18
"""Oldest ONNX operator set that today's exporter writes without conversion; every runtime since 2023 reads it."""


class ServedModel(nn.Module, ABC):
    """A network that takes pixels as decoded and answers with label values.

    Inputs are uint8 (N, T, T, 3) RGB, one per role. The outputs are `label_map`, uint8 (N, T, T), and
    `probabilities`, uint8 (N, T, T, C) = round(255 · softmax).

    The label map follows from the quantised probabilities by the rule of `gateway.vision.labels.decide`, so that both
    outputs agree with each other to the bit.
    """

    scale: Tensor

    def __init__(self, network: nn.Module, framing: Framing) -> None:
        """Wrap `network`, which takes normalised (N, 3, T / reduction, T / reduction) images and gives logits."""
        super().__init__()
        self.network = network
        self.reduction = framing.reduction
        # The slack of `gateway.vision.labels.decide`: t = k/255 is not exactly representable.
        threshold = framing.threshold
        self.least_foreground = None if threshold is None else ceil(255 * threshold - 1e-6)
        mean, std = (torch.tensor(constant).view(1, 3, 1, 1) for constant in (MEAN, STD))
        # x / 255, − mean, / std and + tint as one multiplication and one addition per role.
        self.register_buffer("scale", 1 / (255 * std))
        tints = {"post": torch.tensor(framing.post_tint).view(1, 3, 1, 1)}
        for role in self.roles:
            self.register_buffer(f"offset_{role}", tints.get(role, torch.zeros(1)) - mean / std)
        self.eval().requires_grad_(requires_grad=False)

    @property
    @abstractmethod
    def roles(self) -> tuple[str, ...]:
        """The names of the inputs, in the order of `forward`."""

    def answer(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities) of one batch per role."""
        prepared = (self._prepare(image, role) for image, role in zip(images, self.roles, strict=True))
        logits = self.network(*prepared)
        if self.reduction > 1:
            logits = F.interpolate(logits, scale_factor=float(self.reduction), mode="bilinear", align_corners=False)
        # Classes last once, for softmax, argmax and the output alike.
        quantised = torch.round(255 * logits.permute(0, 2, 3, 1).softmax(dim=-1))
        return self._decide(quantised).to(torch.uint8), quantised.to(torch.uint8)

    def _prepare(self, image: Tensor, role: str) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).float()
        if self.reduction > 1:
            pixels = F.avg_pool2d(pixels, self.reduction)
        return pixels * self.scale + self.get_buffer(f"offset_{role}")

    def _decide(self, quantised: Tensor) -> Tensor:
        if self.least_foreground is None:
            return quantised.argmax(dim=-1)
        foreground = quantised[..., 1:]
        likeliest = foreground.argmax(dim=-1) + 1
        return torch.where(foreground.sum(dim=-1) >= self.least_foreground, likeliest, 0)


# Both exporters name the graph's inputs after the arguments of `forward`, hence one class per set of roles.


class ServedImage(ServedModel):
    """A model of the image before the disaster alone."""

    roles = ("pre",)

    def forward(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(pre)


class ServedPair(ServedModel):
    """A model of the images before and after the disaster."""

    roles = ("pre", "post")

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(pre, post)


def serve(network: nn.Module, roles: Sequence[str], framing: Framing) -> ServedModel:
    """Return `network` wrapped for its input roles.

    Raises:
        ValueError: no task has these roles.
    """
    for served in (ServedImage, ServedPair):
        if served.roles == tuple(roles):
            return served(network, framing)
    raise ValueError(f"no tensor contract has the inputs {list(roles)}")


def to_onnx(model: ServedModel, tile: int) -> bytes:
    """Return `model` as an ONNX file for square tiles of `tile` pixels and any batch size.

    Batch normalisation is folded into the convolutions. The bytes depend on the network alone: no path, no time.
    """
    batch = torch.export.Dim("batch", min=1)
    with _exporters_own_warnings():
        program = torch.onnx.export(
            model,
            _example(model, tile),
            input_names=list(model.roles),
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamic_shapes=tuple({0: batch} for _ in model.roles),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    proto = program.model_proto
    _strip(proto)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def to_torchscript(model: ServedModel, tile: int) -> bytes:
    """Return `model` as a TorchScript file for square tiles of `tile` pixels and any batch size.

    The module is frozen: one flat graph with constant weights. It runs on the device given to `torch.jit.load`, as
    Triton gives it, and cannot be moved afterwards.
    """
    saved = io.BytesIO()
    with _exporters_own_warnings():
        traced = torch.jit.trace(model, _example(model, tile), check_trace=False)
        torch.jit.save(torch.jit.freeze(traced), saved)
    return _reproducible(saved.getvalue())


def _example(model: ServedModel, tile: int) -> tuple[Tensor, ...]:
    """Return a batch of two per role: with one, the exporter would take the batch axis for a constant."""
    return tuple(torch.zeros(2, tile, tile, 3, dtype=torch.uint8) for _ in model.roles)


@contextmanager
def _exporters_own_warnings() -> Iterator[None]:
    """Silence what the exporters say of themselves: torch 2.13 deprecates TorchScript, which Triton still serves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)
        # All inputs share one batch axis on purpose.
        warnings.filterwarnings("ignore", message=r".*axis name: batch", category=UserWarning)
        yield


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes: stack traces with the paths of this machine, longer than the graph itself."""
    graph = proto.graph
    del proto.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    parts: Iterable[Any] = chain(graph.node, graph.input, graph.output, graph.initializer)
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""


def _reproducible(archive: bytes) -> bytes:
    """Return a TorchScript archive without what is not the model's own.

    That is times, debug records, which name source files of this machine, and the number that a class name gets when
    one process exports more than once. A frozen module is a single class, so no other name can collide with it.
    """
    counter = re.compile(rb"[./]___torch_mangle_\d+")
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith((".debug_pkl", "serialization_id")):
                continue
            if name.endswith((".py", "data.pkl")):
                content = counter.sub(b"", content)
            target.writestr(zipfile.ZipInfo(counter.sub(b"", name.encode()).decode()), content)
    return written.getvalue()
