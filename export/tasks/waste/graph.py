"""Models of waste within their tensor contract."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.graphs.framing import Framing
from export.graphs.served import ServedModel
from export.networks import architecture_of
from export.networks.cct import CCT
from export.networks.colours import IMAGENET, Colours
from export.networks.deeplabv3plus import DeepLabV3Plus
from export.networks.reco import ReCo
from export.networks.uperhead import UPerNet
from export.parity.cases import label_faults, labels_differ, whole
from export.parity.inputs import draw_images
from export.tasks.waste.spec import LABEL_SETS, WasteSpec

_WITHIN = UPerNet | DeepLabV3Plus | ReCo | CCT
"""Networks of which a part is served, or that answer on a coarser grid."""


def at_size(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return logits (N, C, h, w) as (N, C, *size), bilinear; of that size already they stay as they are."""
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


class AtImageSize(nn.Module):
    """A network whose logits are interpolated to the size of its images, bilinearly."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of images (N, 3, H, W)."""
        return at_size(self.network(image), image.shape[-2:])


class ServedPhoto(ServedModel):
    """A model of one photograph, at the scale that the card's `resize` states."""

    roles = ("image",)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (label_map, probabilities)."""
        return self.answer(image)


def serve_photo(network: nn.Module, threshold: float | None, colours: Colours = IMAGENET) -> ServedPhoto:
    """Return a network of waste wrapped for its tiles, without a head that only training asks."""
    labelling = AtImageSize(network.labelling()) if isinstance(network, _WITHIN) else network
    return ServedPhoto(labelling, Framing(threshold=threshold), colours)


def graph_of(network: nn.Module, checkpoint: Checkpoint, spec: WasteSpec) -> Graph:
    """Return the graph that a spec wants of a checkpoint's network."""
    size, classes = checkpoint.size, len(LABEL_SETS[checkpoint.classes])
    served = serve_photo(network, checkpoint.threshold, architecture_of(checkpoint.architecture).colours)
    return Graph(served, spec.input_specs(size), spec.output_specs(size, classes))


drawn = draw_images
cases_of = whole(drawn, labels_differ)
faults = label_faults
