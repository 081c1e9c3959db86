"""Networks of radiographs within their tensor contract.

The input, `image`, is uint8 (N, S, S, 3), RGB; films are grey, repeated in the three channels. Networks take it in
[0, 1], as the paper gave it to them.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.runners import Arrays
from export.networks.keras_layers import FilmNetwork, Head
from export.parity.cases import Deviation, levels, score_faults, whole
from export.parity.inputs import draw_images
from export.tasks.radiograph.spec import RadiographSpec

KINK = 0.02
"""Deviations of a hidden unit below which its gradient fades."""


class ServedFilm(nn.Module):
    """A network that scores films, and shows what in a film speaks for each class."""

    def __init__(self, network: FilmNetwork) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return `scores`, float32 (N, C), and `saliency`, uint8 (N, h, w, C), see `evidence`."""
        features = self.network.backbone(image.permute(0, 3, 1, 2).float() / 255)
        activity = self.network.head.activity(features)
        scores = self.network.head.classify(activity).softmax(dim=1)
        shown = evidence(features, activity, self.network.head)
        return scores, torch.round(255 * shown.permute(0, 2, 3, 1)).to(torch.uint8)


def evidence(features: Tensor, activity: Tensor, head: Head) -> Tensor:
    """Return Grad-CAM (Selvaraju et al., 2017) of each class, (N, C, h, w) in [0, 1].

    Each map is scaled to its own maximum; it is 0 throughout where nothing speaks for the class. The weight of a
    channel of features is the mean gradient of the class's logit in it, which the head gives in closed form: its last
    layers are linear, and a hidden unit lets the gradient through where it is above 0: all of it from a fiftieth of its
    deviation on, and below that a share, or a rounding error at the kink would turn a map over. Constant factors are
    left out, since the maximum takes them away.

    Args:
        features: (N, channels, h, w).
        activity: of the head's hidden layer, (N, hidden).
        head: in evaluation mode.
    """
    deviation = torch.sqrt(cast(Tensor, head.norm.running_var) + head.norm.eps)
    through_norm = head.dense_1.weight * (head.norm.weight / deviation)
    active = (activity / (KINK * deviation)).clamp(max=1)
    gradients = (active.unsqueeze(1) * through_norm) @ head.dense.weight
    maps = torch.relu(torch.einsum("nck,nkhw->nchw", gradients, features))
    largest = maps.amax(dim=(2, 3), keepdim=True)
    return torch.where(largest > 0, maps / torch.where(largest > 0, largest, 1.0), 0.0)


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: RadiographSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network."""
    network, size = cast(FilmNetwork, network), checkpoint.size
    with torch.inference_mode():
        rows, columns = network.backbone(torch.zeros(1, 3, size, size)).shape[2:]
    return Graph(ServedFilm(network), spec.input_specs(size), spec.output_specs((rows, columns)))


def _differ(truth: Arrays, answer: Arrays) -> Deviation:
    return Deviation(
        probability_difference=float(np.abs(truth[0] - answer[0]).max()),
        saliency_difference=levels(truth[1], answer[1]),
    )


drawn = draw_images
faults = score_faults
cases_of = whole(drawn, _differ)
