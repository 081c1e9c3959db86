"""Networks of CT within their tensor contract.

The input, `image`, is int16 (N, S, S) in Hounsfield units: one slice on the network's grid, without a channel axis. The
window is applied inside: what lies below it becomes 0, above it 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.decision import odds_of, quantised_and_decided
from export.graphs.runners import Arrays
from export.networks.cogseg import CogSeg
from export.parity.cases import Case, Deviation, Files, case, label_faults, labels_differ
from export.parity.inputs import Tiles, draw_slices
from export.task import Tensors
from export.tasks.ct.spec import CtSpec
from gateway.repository.card import Card
from gateway.vision.windowing import Window


def windowed(units: Tensor, window: Window) -> Tensor:
    """Return Hounsfield units (N, S, S) of any type as float32 (N, 1, S, S) in [0, 1]."""
    return ((units.unsqueeze(1).float() - window.low) / (window.high - window.low)).clamp(0, 1)


class Doubled(nn.Module):
    """A network whose answer is interpolated to twice its size, bilinearly."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network

    def forward(self, slices: Tensor) -> Tensor:
        """Return (N, C, 2 S, 2 S) of what the network makes (N, C, S, S) of."""
        return F.interpolate(self.network(slices), scale_factor=2.0, mode="bilinear", align_corners=False)


def labelling(network: nn.Module) -> nn.Module:
    """Return the part of a network of CT that gives logits at twice the size of its slices."""
    return network.labelling() if isinstance(network, CogSeg) else Doubled(network)


class ServedSlice(nn.Module):
    """A network that labels slices, at twice their size."""

    def __init__(self, network: nn.Module, window: Window, threshold: float | None) -> None:
        """Wrap `network`, which takes (N, 1, S, S) in [0, 1] and gives logits (N, C, 2 S, 2 S)."""
        super().__init__()
        self.network, self.window, self.threshold = network, window, threshold
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return `label_map`, uint8 (N, 2 S, 2 S), and `probabilities`, uint8 (N, 2 S, 2 S, C)."""
        return quantised_and_decided(odds_of(self.network(windowed(image, self.window))), self.threshold)


class ServedSharpening(nn.Module):
    """A network that gives slices at twice their size."""

    def __init__(self, network: nn.Module, window: Window) -> None:
        """Wrap `network`, which takes (N, 1, S, S) in [0, 1] and gives (N, 1, 2 S, 2 S) in much the same range."""
        super().__init__()
        self.network, self.window = network, window
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return `sharpened`, int16 (N, 2 S, 2 S) in Hounsfield units of the window."""
        shown = self.network(windowed(image, self.window)).squeeze(1).clamp(0, 1)
        return torch.round(self.window.low + shown * (self.window.high - self.window.low)).to(torch.int16)


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: CtSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network.

    Raises:
        ValueError: the network sharpens nothing, and should.
    """
    size, window = checkpoint.size, Window(*checkpoint.window)
    served: nn.Module
    if not spec.sharpens:
        served = ServedSlice(labelling(network), window, checkpoint.threshold)
    elif isinstance(network, CogSeg):
        served = ServedSharpening(network.sharpening(), window)
    else:
        raise ValueError(f"a {spec.architecture} sharpens nothing")
    return Graph(served, spec.input_specs(size), spec.output_specs(size))


def cases_of(
    network: nn.Module, graphs: Sequence[Graph], files: Sequence[Files], threshold: float | None
) -> list[Case]:
    """Return what the parity gate compares."""
    module = graphs[0].module
    if not isinstance(module, ServedSharpening):
        return [case("whole", graphs[0], files[0], drawn, labels_differ)]
    width = module.window.high - module.window.low
    return [case("whole", graphs[0], files[0], drawn, partial(_intensities_differ, width))]


def drawn(inputs: Tensors, kind: Tiles, count: int) -> list[NDArray[np.int16]]:
    """Return `count` slices."""
    return [draw_slices(kind, count, inputs[0].shape[0])]


def faults(card: Card, answer: Arrays) -> Iterator[str]:
    """Yield what is wrong with answers of the right form."""
    return label_faults(card, answer) if card.classes else iter(())


def _intensities_differ(width: float, truth: Arrays, answer: Arrays) -> Deviation:
    return Deviation(intensity_difference=float(np.abs(truth[0].astype(np.float32) - answer[0]).max()) / width)
