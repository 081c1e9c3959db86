"""Models that take off clouds within their tensor contract."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.runners import Arrays
from export.networks import architecture_of
from export.networks.architecture import Architecture
from export.parity.cases import Deviation, levels, whole
from export.parity.inputs import draw_images
from export.tasks.restore.spec import RestoreSpec
from gateway.repository.card import Card


class ServedRestoration(nn.Module):
    """A generator that takes pixels as decoded, and answers with pixels.

    The input is uint8 (N, T, T, 3) RGB. The outputs are `restored`, of the same form, and `invented`, uint8 (N, T, T):
    255 times the share of a pixel that is not the ground's own light.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, architecture: Architecture) -> None:
        """Wrap `network`, which takes images in its architecture's colours and gives these and their cover."""
        super().__init__()
        self.network = network
        colours = architecture.colours
        mean, std = (torch.tensor(constant).view(1, 3, 1, 1) for constant in (colours.mean, colours.std))
        self.register_buffer("scale", 255 * std)
        self.register_buffer("offset", 255 * mean)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (restored, invented)."""
        pixels = image.permute(0, 3, 1, 2).float()
        restored, cover = self.network((pixels - self.offset) / self.scale)
        restored = _levels(restored * self.scale + self.offset)
        return restored.permute(0, 2, 3, 1).contiguous(), _levels(255 * cover[:, 0])


def _levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: RestoreSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network."""
    served = ServedRestoration(network, architecture_of(checkpoint.architecture))
    return Graph(served, spec.input_specs(checkpoint.size), spec.output_specs(checkpoint.size))


def faults(card: Card, answer: Arrays) -> Iterator[str]:
    """Yield nothing: any image is an answer."""
    return iter(())


def _differ(truth: Arrays, answer: Arrays) -> Deviation:
    """Compare images and covers, whose levels have the tolerance of quantised probabilities."""
    return Deviation(max(levels(one, other) for one, other in zip(truth, answer, strict=True)))


drawn = draw_images
cases_of = whole(drawn, _differ)
