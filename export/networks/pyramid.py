"""Pyramid pooling (Zhao et al., 2017) as IOG and DEXTR use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BINS = (1, 2, 3, 6)
"""Sides of the pooled maps."""


class AveragePool(nn.Module):
    """Adaptive average pooling to a square, as two matrix products: ONNX knows none whose windows overlap."""

    def __init__(self, bins: int) -> None:
        """Pool to `bins` × `bins`."""
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, bins, bins) of (N, C, H, W)."""
        rows, columns = (_windows(size, self.bins).to(x) for size in x.shape[-2:])
        return rows @ x @ columns.T


class PyramidPooling(nn.Module):
    """Context of the whole field at every position: pooled maps beside the input itself, mixed by a 1×1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, *, align_corners: bool) -> None:
        """Build the layers; `align_corners` is of the interpolation from the pooled maps back to the input's size."""
        super().__init__()
        self.align_corners = align_corners
        self.stages = nn.ModuleList(
            nn.Sequential(AveragePool(bins), *convolution(in_channels, in_channels // 4)) for bins in BINS
        )
        mixed = in_channels + len(BINS) * (in_channels // 4)
        self.bottleneck = nn.Sequential(*convolution(mixed, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H, W) of (N, in_channels, H, W)."""
        size = x.shape[-2:]
        pooled = [
            F.interpolate(stage(x), size=size, mode="bilinear", align_corners=self.align_corners)
            for stage in self.stages
        ]
        mixed: Tensor = self.bottleneck(torch.cat([*pooled, x], dim=1))
        return mixed


def convolution(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    """Return a 1×1 convolution without bias, batch normalisation and ReLU."""
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _windows(size: int, bins: int) -> Tensor:
    """Return the weights, (bins, size), that average `size` positions into `bins` windows.

    Window i reaches from ⌊i · size / bins⌋ to ⌈(i + 1) · size / bins⌉, as torch's `adaptive_avg_pool2d` has it.
    """
    weights = torch.zeros(bins, size)
    for i in range(bins):
        start, end = i * size // bins, -(-(i + 1) * size // bins)
        weights[i, start:end] = 1 / (end - start)
    return weights
