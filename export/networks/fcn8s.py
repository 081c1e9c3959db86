"""FCN-8s (Long et al., 2015): VGG-16 made convolutional, with the scores of three depths summed.

Padded by 1 instead of the original's 100, which it needs for sides that are no multiples of 32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.architecture import Architecture

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG-16's convolutions at full width, a tuple for each size."""

_FULLY, _FULL_KERNEL = 4096, 7


class FCN8s(nn.Module):
    """134,284,620 parameters at full width with 3 channels in and 4 classes."""

    def __init__(self, width: float = 1.0, in_channels: int = 3, classes: int = 4) -> None:
        """Build the layers with every hidden width scaled by ``width``, the two wide ones by its square.

        A one-channel picture is repeated in all channels.
        """
        super().__init__()
        self.in_channels = in_channels
        self.stages = nn.ModuleList()
        channels, scored = in_channels, []
        for block in VGG16:
            layers: list[nn.Module] = []
            for full in block:
                own = max(1, round(width * full))
                layers += [nn.Conv2d(channels, own, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
                channels = own
            self.stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
            scored.append(channels)
        fully = max(1, round(width * width * _FULLY))
        self.fully = nn.Sequential(
            nn.Conv2d(channels, fully, kernel_size=_FULL_KERNEL, padding=_FULL_KERNEL // 2),
            nn.ReLU(inplace=True),
            nn.Dropout2d(),
            nn.Conv2d(fully, fully, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(),
        )
        self.score_pool3, self.score_pool4 = (nn.Conv2d(scored[i], classes, kernel_size=1) for i in (2, 3))
        self.score_fully = nn.Conv2d(fully, classes, kernel_size=1)
        # The fixed bilinear ones of the original are parameters that never learn; they count.
        self.upscore2, self.upscore4 = _enlarging(classes, 2), _enlarging(classes, 2)
        self.upscore8 = _enlarging(classes, 8)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of images (N, C, H, W); H and W are multiples of 32."""
        x = images.expand(-1, self.in_channels, -1, -1)
        pooled = []
        for stage in self.stages:
            x = stage(x)
            pooled.append(x)
        scores = self.upscore2(self.score_fully(self.fully(x))) + self.score_pool4(pooled[3])
        logits: Tensor = self.upscore8(self.upscore4(scores) + self.score_pool3(pooled[2]))
        return logits


def _enlarging(classes: int, factor: int) -> nn.ConvTranspose2d:
    """Return a transposed convolution that enlarges each class by itself, bilinearly, and stays so."""
    layer = nn.ConvTranspose2d(classes, classes, kernel_size=2 * factor, stride=factor, padding=factor // 2, bias=False)
    ramp = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
    with torch.no_grad():
        layer.weight.zero_()
        for value in range(classes):
            layer.weight[value, value] = ramp[:, None] * ramp
    layer.weight.requires_grad_(False)
    return layer


ARCHITECTURES = (Architecture("fcn8s", lambda width, *_: FCN8s(width)),)
