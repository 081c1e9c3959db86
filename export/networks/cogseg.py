"""CogSeg: a U-Net that learns to label a slice and to sharpen it at once, and is served for the labels alone.

One encoder has two decoders of one shape: segmentation and super-resolution, both from 256 to 512 pixels a side. The
second is there for training, where its features pull those of the first towards detail. Widths, normalisation and the
doubling at the end, which the paper leaves open, are U-Net's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.unet import Decoder, Encoder, scaled_widths


class Branch(nn.Module):
    """A decoder, the doubling of its size, and a 1x1 head."""

    def __init__(self, widths: Sequence[int], out_channels: int) -> None:
        """Build the layers."""
        super().__init__()
        self.decoder = Decoder(widths)
        self.doubling = nn.ConvTranspose2d(widths[0], widths[0], kernel_size=2, stride=2)
        # Without it doubling and head would amount to one linear layer.
        self.activation = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(widths[0], out_channels, kernel_size=1)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the decoder's four stages, deepest first, and at last the answer, (N, out_channels, 2 H, 2 W)."""
        stages = self.decoder(features)
        return (*stages, self.head(self.activation(self.doubling(stages[-1]))))


class Path(nn.Module):
    """The encoder with one of its decoders."""

    def __init__(self, encoder: Encoder, branch: Branch) -> None:
        """Keep both; the weights are shared with the network that they are of."""
        super().__init__()
        self.encoder, self.branch = encoder, branch

    def forward(self, slices: Tensor) -> Tensor:
        """Return the answer (N, C, 2 H, 2 W) for slices (N, 1, H, W) in [0, 1]."""
        answer: Tensor = self.branch(self.encoder(slices))[-1]
        return answer


class CogSeg(nn.Module):
    """Both paths. Encoder and segmentation have 31,053,124 parameters at full width."""

    def __init__(self, width: float = 1.0, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__()
        widths = scaled_widths(width)
        self.encoder = Encoder(1, widths)
        self.segmentation = Branch(widths, classes)
        self.super_resolution = Branch(widths, 1)

    def forward(self, slices: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return what both branches give, see `Branch.forward`, of slices (N, 1, H, W) in [0, 1].

        Their answers are logits and the slice at twice its size. H and W are multiples of 16.
        """
        features = self.encoder(slices)
        return self.segmentation(features), self.super_resolution(features)

    def labelling(self) -> Path:
        """Return the path from slices to logits."""
        return Path(self.encoder, self.segmentation)

    def sharpening(self) -> Path:
        """Return the path from slices to slices of twice their size."""
        return Path(self.encoder, self.super_resolution)


ARCHITECTURES = (Architecture("cogseg", lambda width, *_: CogSeg(width)),)
