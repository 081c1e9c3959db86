"""Attention U-Net (Oktay et al., 2018) in two dimensions: a U-Net whose skips are weighed by what is below them.

As the widespread port has it: the gating signal is enlarged already, the gates' 1×1 convolutions are normalised, and
all four skips have one; the original gates in 3-D, at the coarser size, and leaves the finest skip alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.unet import scaled_widths


class Gate(nn.Module):
    """Weighs the positions of a skip by σ(ψ(ReLU(θ skip + φ signal)))."""

    def __init__(self, channels: int) -> None:
        """Build the layers, half as wide as what they take."""
        super().__init__()
        inner = max(1, channels // 2)
        self.theta, self.phi = _pointwise(channels, inner), _pointwise(channels, inner)
        self.psi = nn.Sequential(*_pointwise(inner, 1), nn.Sigmoid())
        self.relu = nn.ReLU(inplace=True)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        """Return the skip (N, C, H, W), weighed; `signal` has the same shape."""
        weighed: Tensor = skip * self.psi(self.relu(self.theta(skip) + self.phi(signal)))
        return weighed


class AttentionUNet(nn.Module):
    """Five levels and four gated stages. 34,877,616 parameters at full width with 1 channel in."""

    def __init__(self, width: float = 1.0, in_channels: int = 1, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__()
        widths = scaled_widths(width)
        self.pool = nn.MaxPool2d(2)
        self.levels = nn.ModuleList(
            _block(before, after) for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        shallower = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.upsample = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2.0), *_convolution(deep, shallow)) for deep, shallow in shallower
        )
        self.gates = nn.ModuleList(Gate(shallow) for _, shallow in shallower)
        self.blocks = nn.ModuleList(_block(2 * shallow, shallow) for _, shallow in shallower)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, slices: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of slices (N, C, H, W) in [0, 1]; H and W are multiples of 16."""
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(self.pool(features[-1]) if features else slices))
        x = features.pop()
        for upsample, gate, block in zip(self.upsample, self.gates, self.blocks, strict=True):
            signal = upsample(x)
            x = block(torch.cat([gate(features.pop(), signal), signal], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _convolution(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(in_channels, out_channels), *_convolution(out_channels, out_channels))


def _pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=1), nn.BatchNorm2d(out_channels))


ARCHITECTURES = (Architecture("attention_unet", lambda width, *_: AttentionUNet(width)),)
