"""Interactive models within their tensor contract: whole, or as an encoder and a head.

Crops are uint8 (N, S, S, 3) RGB, click maps uint8 (N, S, S, M); a network takes both as they are, 0 … 255, neither mean
nor standard deviation. The answer, `probability`, is uint8 (N, S, S) = round(255 · sigmoid).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.runners import Arrays, torch_runner
from export.networks.divided import Divided, Features
from export.parity.cases import Case, Deviation, Files, case, composed, levels
from export.parity.inputs import Tiles, draw_clicked
from export.task import Tensors
from export.tasks.interactive.spec import InteractiveSpec
from gateway.repository.card import Card


class ServedCrop(nn.Module):
    """A network that answers a crop and its clicks at once."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network`, which takes (N, 3 + M, S, S) and gives logit maps, the answer last."""
        super().__init__()
        self.network = network
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, crop: Tensor, clicks: Tensor) -> Tensor:
        """Return `probability`."""
        return _probability(self.network(_joined(crop, clicks))[-1], clicks)


class ServedEncoder(nn.Module):
    """The half of a divided network that runs once for a crop."""

    def __init__(self, network: Divided) -> None:
        """Wrap `network`."""
        super().__init__()
        self.backbone = network.backbone
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, crop: Tensor, clicks: Tensor) -> tuple[Tensor, ...]:
        """Return the four feature maps, float16 (N, C, H, W), of a crop and the maps of its first clicks."""
        return tuple(feature.half() for feature in self.backbone(_joined(crop, clicks)))


class ServedHead(nn.Module):
    """The half of a divided network that runs for every click."""

    def __init__(self, network: Divided) -> None:
        """Wrap a copy of `network` without its backbone, which else would be in the file too."""
        super().__init__()
        self.network = deepcopy(network)
        del self.network.backbone
        self.eval().requires_grad_(requires_grad=False)

    def forward(
        self, features_1: Tensor, features_2: Tensor, features_3: Tensor, features_4: Tensor, clicks: Tensor
    ) -> Tensor:
        """Return `probability`, given the features of the encoder and the maps of all clicks so far."""
        features = tuple(feature.float() for feature in (features_1, features_2, features_3, features_4))
        return self.answer(features, clicks)

    def answer(self, features: Features, clicks: Tensor) -> Tensor:
        """Return `probability` for features of full precision."""
        return _probability(self.network.decode(features, _planes(clicks))[-1], clicks)


class Undivided(nn.Module):
    """What encoder and head have to amount to: the network as it was trained, its features not rounded."""

    def __init__(self, network: Divided) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network
        self.head = ServedHead(network)

    def forward(self, crop: Tensor, first: Tensor, clicks: Tensor) -> Tensor:
        """Return `probability` of a crop with the maps of its `first` clicks, and of all clicks so far."""
        return self.head.answer(self.network.encode(_joined(crop, first)), clicks)


def _planes(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float()


def _joined(crop: Tensor, clicks: Tensor) -> Tensor:
    return _planes(torch.cat([crop, clicks], dim=-1))


def _probability(logits: Tensor, clicks: Tensor) -> Tensor:
    """Return logits (N, 1, s, s) as `probability` on the grid of the click maps."""
    full = F.interpolate(logits, size=clicks.shape[1:3], mode="bilinear", align_corners=True)
    return torch.round(255 * full.squeeze(1).sigmoid()).to(torch.uint8)


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: InteractiveSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network.

    Raises:
        ValueError: the network cannot be divided, and should be.
    """
    size = checkpoint.size
    channels: Sequence[int] = ()
    served: nn.Module
    if spec.part == "whole":
        served = ServedCrop(network)
    elif isinstance(network, Divided):
        divided = network.served()
        channels = divided.feature_channels
        served = ServedEncoder(divided) if spec.part == "encoder" else ServedHead(divided)
    else:
        raise ValueError(f"a {spec.architecture} has no {spec.part}")
    return Graph(served, spec.input_specs(size, channels), spec.output_specs(size, channels))


def cases_of(
    network: nn.Module, graphs: Sequence[Graph], files: Sequence[Files], threshold: float | None
) -> list[Case]:
    """Return what the parity gate compares: a whole graph, or an encoder, its head, and one after the other.

    The head is given torch's features and further clicks. The composition is what a click goes through when it is
    served, rounded features included, and has to answer as the undivided network does.

    Raises:
        ValueError: pixels of the object are not told by a threshold, or a half is missing.
    """
    if threshold is None:
        raise ValueError("an interactive model has a threshold")
    masks_differ = partial(_masks_differ, threshold)
    parts = [type(graph.module) for graph in graphs]
    if parts == [ServedCrop]:
        return [case("whole", graphs[0], files[0], drawn, masks_differ)]
    if parts != [ServedEncoder, ServedHead] or not isinstance(network, Divided):
        raise ValueError("no tensor contract has such graphs")
    encoder, head = graphs
    size, _, maps = encoder.inputs[-1].shape
    features = torch_runner(encoder.module)

    def encoded(_: Tensors, kind: Tiles, count: int) -> Sequence[NDArray[Any]]:
        crops, first, clicks = draw_clicked(kind, maps, count, size)
        return (*features((crops, first)), clicks)

    encoding = case("encoder", encoder, files[0], drawn, _features_differ)
    heading = case("head", head, files[1], encoded, masks_differ)
    composition = Case(
        "composition",
        torch_runner(Undivided(network)),
        {each: composed(run, heading.runners[each]) for each, run in encoding.runners.items()},
        heading.outputs,
        lambda kind, count: draw_clicked(kind, maps, count, size),
        heading.deviation,
    )
    return [encoding, heading, composition]


def drawn(inputs: Tensors, kind: Tiles, count: int) -> Sequence[NDArray[Any]]:
    """Return `count` crops and the maps of their first clicks."""
    size, _, maps = inputs[-1].shape
    return draw_clicked(kind, maps, count, size)[:2]


def faults(card: Card, answer: Arrays) -> Iterator[str]:
    """Yield nothing: a probability map of the right form is sound."""
    return iter(())


def _masks_differ(threshold: float, truth: Arrays, answer: Arrays) -> Deviation:
    flipped = (truth[0] > 255 * threshold) != (answer[0] > 255 * threshold)
    return Deviation(levels(truth[0], answer[0]), float(np.mean(flipped)))


def _features_differ(truth: Arrays, answer: Arrays) -> Deviation:
    return Deviation(feature_difference=max(_relative(*maps) for maps in zip(truth, answer, strict=True)))


def _relative(truth: NDArray[np.float16], answer: NDArray[np.float16]) -> float:
    """Return the largest difference over the largest magnitude; infinite where a feature is beyond float16."""
    if not (np.isfinite(truth).all() and np.isfinite(answer).all()):
        return float("inf")
    exact, given = truth.astype(np.float32), answer.astype(np.float32)
    return float(np.abs(exact - given).max() / max(np.abs(exact).max(), np.finfo(np.float16).tiny))
