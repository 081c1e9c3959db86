"""A model of boxes within its tensor contract: it gives a box per cell, and leaves open which are of one building."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor, cat, nn

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.runners import Arrays
from export.parity.cases import Case, Deviation, Files, case
from export.parity.inputs import draw_images
from export.tasks.damage.boxes.spec import BoxSpec
from gateway.repository.card import Card

_LEAST = 0.01
"""Boxes of a lower score are compared by that alone: nobody asks where they are."""


class ServedBoxes(nn.Module):
    """A network that takes both images as decoded and answers with a box per cell, and a score per class."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network`, which takes images (N, 3, T, T), 0 to 255, and says of each cell what `YOLOX` does."""
        super().__init__()
        self.network = network
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Return `boxes`, float32 (N, A, 4), x0, y0, x1, y1 within the tile, and `scores`, float32 (N, A, C), 0–1.

        A score is the product of "a building" and "of this class". Images are uint8 (N, T, T, 3) RGB.
        """
        cells = self.network(*(image.permute(0, 3, 1, 2).float() for image in (pre, post)))
        middle, half, said = cells[..., :2], cells[..., 2:4] / 2, cells[..., 4:].sigmoid()
        boxes = cat([middle - half, middle + half], dim=-1).clamp(0, pre.shape[1])
        return boxes, said[..., :1] * said[..., 1:]


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: BoxSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network."""
    return Graph(ServedBoxes(network), spec.input_specs(), spec.output_specs())


def cases_of(
    network: nn.Module, graphs: Sequence[Graph], files: Sequence[Files], threshold: float | None
) -> list[Case]:
    """Return what the parity gate compares."""
    side, least = graphs[0].inputs[0].shape[0], threshold or _LEAST

    def differ(truth: Arrays, answer: Arrays) -> Deviation:
        """Compare scores, the edges of boxes as shares of the tile, and which boxes count."""
        first, second = truth[1].max(axis=-1), answer[1].max(axis=-1)
        edges = np.abs(truth[0] - answer[0])[first >= _LEAST]
        return Deviation(
            probability_difference=float(np.abs(truth[1] - answer[1]).max()),
            flipped_share=float(np.mean((first >= least) != (second >= least))),
            feature_difference=float(edges.max(initial=0)) / side,
        )

    return [case("whole", graphs[0], files[0], drawn, differ)]


drawn = draw_images


def faults(card: Card, answer: Arrays) -> Iterator[str]:
    """Yield what is wrong with boxes and scores that are of the right form."""
    boxes, scores = answer
    if not (boxes[..., :2] <= boxes[..., 2:]).all() or boxes.min() < 0 or boxes.max() > card.tile:
        yield "gives boxes that are none, or lie outside the tile"
    if scores.min() < 0 or scores.max() > 1:
        yield "gives scores that are no probabilities"
