"""Models of land cover within their tensor contract."""

from __future__ import annotations

from torch import Tensor, nn

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.framing import Framing
from export.graphs.served import ServedModel
from export.networks import architecture_of
from export.parity.cases import label_faults, labels_differ, whole
from export.parity.inputs import draw_images
from export.tasks.land.spec import LandSpec


class ServedGround(ServedModel):
    """A model of one image at a metre a pixel."""

    roles = ("image",)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(image)


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: LandSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network."""
    colours = architecture_of(checkpoint.architecture).colours
    served = ServedGround(network, Framing(threshold=checkpoint.threshold), colours)
    return Graph(served, spec.input_specs(checkpoint.size), spec.output_specs(checkpoint.size))


drawn = draw_images
cases_of = whole(drawn, labels_differ)
faults = label_faults
