"""The blocks of FANet: attentive feature enhancement (SCM beside FRM), then a perceptron for each pixel.

Layers are named as the published weights name them, so that these load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCM_GROUPS = 4
"""Groups of the spatial context module's convolution, which sees half of a block's channels."""

_EXPANSION = 4


@dataclass(frozen=True)
class Parts:
    """What of the attentive feature enhancement is there: the paper's ablations switch it off, one by one.

    The convolution behind a part that is missing takes fewer channels; with all three missing it takes the squeezed
    features as they are.

    Attributes:
        scm: the spatial context module, a 7×7 convolution in four groups.
        frm_high: the refinement of what differs from the local mean.
        frm_low: the refinement of what agrees with it.
    """

    scm: bool = True
    frm_high: bool = True
    frm_low: bool = True


WHOLE = Parts()
"""The paper's network."""

ABLATIONS = {
    "base": Parts(scm=False, frm_high=False, frm_low=False),
    "scm": Parts(frm_high=False, frm_low=False),
    "high": Parts(scm=False, frm_low=False),
    "low": Parts(scm=False, frm_high=False),
    "frm": Parts(scm=False),
}
"""The rows of the paper's ablation but the last, which is the whole."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of the channels at each pixel."""

    def __init__(self, channels: int) -> None:
        """Normalise `channels`, with FANet's epsilon."""
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FeatureRefinement(nn.Module):
    """FRM: features times, and less, their own blurred selves."""

    def __init__(self, channels: int, parts: Parts) -> None:
        """Build the layers of those `parts` that are there; one of the two is."""
        super().__init__()
        self.parts = parts
        self.down = _depthwise(channels, 3, stride=2)
        if parts.frm_low:
            self.lconv, self.norm1 = _depthwise(channels, 3), ChannelNorm(channels)
        if parts.frm_high:
            self.hconv, self.norm2 = _depthwise(channels, 3), ChannelNorm(channels)
        self.proj = nn.Conv2d(channels * (parts.frm_low + parts.frm_high), channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        blurred = F.interpolate(self.down(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        refined = []
        if self.parts.frm_low:
            refined.append(self.norm1(self.lconv(F.gelu(x * blurred))))
        if self.parts.frm_high:
            # The paper's caption has it the other way round; text and code subtract the blurred features.
            refined.append(self.norm2(self.hconv(F.gelu(x - blurred))))
        return F.gelu(self.proj(torch.cat(refined, dim=1)))


class FeatureEnhancement(nn.Module):
    """AFE: spatial context beside refined frequencies, at half of the channels."""

    def __init__(self, channels: int, kernel: int, parts: Parts) -> None:
        """Build the layers; `kernel` is the side of the positional embedding's convolution."""
        super().__init__()
        half = channels // 2
        self.dwconv, self.norm1 = _depthwise(channels, kernel), ChannelNorm(channels)
        self.proj1, self.norm2 = nn.Conv2d(channels, half, kernel_size=1), ChannelNorm(half)
        branches = 0
        self.ctx_conv: nn.Module | None = None
        self.enhance: nn.Module | None = None
        if parts.scm:
            self.ctx_conv = nn.Conv2d(half, half, kernel_size=7, padding=3, groups=SCM_GROUPS)
            self.norm3 = ChannelNorm(half)
            branches += 1
        if parts.frm_low or parts.frm_high:
            self.enhance = FeatureRefinement(half, parts)
            branches += 1
        self.proj2 = nn.Conv2d(half * max(branches, 1), channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        x = x + self.norm1(F.gelu(self.dwconv(x)))
        x = self.norm2(F.gelu(self.proj1(x)))
        branches = []
        if self.ctx_conv is not None:
            branches.append(self.norm3(F.gelu(self.ctx_conv(x))))
        if self.enhance is not None:
            branches.append(self.enhance(x))
        return F.gelu(self.proj2(torch.cat(branches or [x], dim=1)))


class PerceptronMixing(nn.Module):
    """MLP of each pixel, with a depthwise convolution inside."""

    def __init__(self, channels: int) -> None:
        """Build the layers."""
        super().__init__()
        wide = _EXPANSION * channels
        self.fc1 = nn.Conv2d(channels, wide, kernel_size=1)
        self.pos = _depthwise(wide, 3)
        self.fc2 = nn.Conv2d(wide, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        x = F.gelu(self.fc1(x))
        mixed: Tensor = self.fc2(x + F.gelu(self.pos(x)))
        return mixed


class Block(nn.Module):
    """Feature enhancement, then MLP, each normalised before and added to what came in."""

    def __init__(self, channels: int, kernel: int, parts: Parts, drop: float) -> None:
        """Build the layers; `drop` is the chance that a sample skips a half of the block in training."""
        super().__init__()
        self.layer_norm1, self.layer_norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.attn = FeatureEnhancement(channels, kernel, parts)
        self.mlp = PerceptronMixing(channels)
        self.drop = StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        x = x + self.drop(self.attn(self.layer_norm1(x)))
        kept: Tensor = x + self.drop(self.mlp(self.layer_norm2(x)))
        return kept


class StochasticDepth(nn.Module):
    """Leaves a branch out for some of the samples, in training alone, and makes the others so much stronger."""

    def __init__(self, drop: float) -> None:
        """Set the share of samples that go without."""
        super().__init__()
        self.drop = drop

    def forward(self, branch: Tensor) -> Tensor:
        """Return a branch (N, …) of the same shape."""
        if not self.training or not self.drop:
            return branch
        keep = 1 - self.drop
        return branch * (torch.rand(len(branch), 1, 1, 1, device=branch.device) < keep).to(branch.dtype) / keep


def _depthwise(channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride=stride, padding=kernel // 2, groups=channels)
