"""Siamese convolutional recurrent network: damage from an image before a disaster and one or several after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.resnet import PLANES, STEM, BasicBlock

RESNET34 = (3, 4, 6, 3)
RESNET18 = (2, 2, 2, 2)

_STRIDES = (1, 2, 2, 1)
"""Of the stages: the last keeps the resolution of the third, a sixteenth of the image's."""

_HIDDEN = 128


class SiamCRNN(nn.Module):
    """A shared ResNet sees each date; at each of its levels a ConvLSTM reads the dates in their order.

    The pattern is that of SiamCRNN (Chen et al., 2019, and the authors' later network on ResNet-34): only the last
    hidden state of a level goes on, from the coarsest level to the finest, by interpolation and addition. It has
    28,513,861 parameters at full width, and any number of dates may be given.

    Args:
        width: multiplier on all channels; 1.0 is the original's.
        depths: basic blocks per stage.
        classes: of the logits.
    """

    def __init__(self, width: float = 1.0, depths: Sequence[int] = RESNET34, classes: int = 5) -> None:
        """Build the layers."""
        super().__init__()
        stem, hidden = (max(1, round(width * channels)) for channels in (STEM, _HIDDEN))
        levels = [max(1, round(width * planes)) for planes in PLANES]
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(before, after, stride), *(BasicBlock(after, after) for _ in range(depth - 1)))
            for before, after, stride, depth in zip([stem, *levels], levels, _STRIDES, depths, strict=False)
        )
        self.cells = nn.ModuleList(ConvLSTM(channels, hidden) for channels in levels)
        self.smooth = nn.ModuleList(
            nn.Sequential(nn.Conv2d(hidden, hidden, kernel_size=3, padding=1), nn.BatchNorm2d(hidden), nn.ReLU())
            for _ in levels[1:]
        )
        self.head = nn.Conv2d(hidden, classes, kernel_size=1)

    def forward(self, *images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W), one a date, in the order of their dates.

        Raises:
            ValueError: there is no image.
        """
        if not images:
            raise ValueError("a series has one image at least")
        # One batch of all dates halves the number of kernels and gives batch normalisation one set of statistics.
        features = self.stem(torch.cat(images))
        states = []
        for stage, cell in zip(self.stages, self.cells, strict=True):
            features = stage(features)
            states.append(cell(features.unflatten(0, (len(images), -1)).unbind()))
        merged = states.pop()
        for smooth in self.smooth:
            finer = states.pop()
            merged = smooth(finer + _resized(merged, finer))
        return _resized(self.head(merged), images[0])


class ConvLSTM(nn.Module):
    """A cell of long short-term memory whose gates are convolutions (Shi et al., 2015), from a state of zeros.

    Args:
        channels: of what it reads.
        hidden: of its state.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        """Build the one convolution, whose channels are the gates: input, forget, output, and what is written."""
        super().__init__()
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, kernel_size=3, padding=1)
        self.hidden = hidden

    def forward(self, series: Sequence[Tensor]) -> Tensor:
        """Return the last hidden state (N, hidden, H, W) of features (N, channels, H, W) in their order."""
        # Made of the features, the state has their size, type and device in every exported graph.
        hidden = memory = series[0][:, :1].expand(-1, self.hidden, -1, -1) * 0
        for features in series:
            into, keep, out, new = self.gates(torch.cat([features, hidden], dim=1)).chunk(4, dim=1)
            memory = keep.sigmoid() * memory + into.sigmoid() * new.tanh()
            hidden = out.sigmoid() * memory.tanh()
        return hidden


def _resized(x: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)


ARCHITECTURES = (
    Architecture(
        "siamcrnn",
        lambda width, depths, _: SiamCRNN(width, depths),
        {"resnet34": RESNET34, "resnet18": RESNET18},
        stages=(r"stages\.([0-3])\.(\d+)\.", "0123"),
        inputs=("pre", "post"),
    ),
)
