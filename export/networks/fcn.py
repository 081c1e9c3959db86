"""FCN: a fully convolutional encoder-decoder that finds buildings in one image."""

from __future__ import annotations

from torch import Tensor, nn

from export.networks.architecture import Architecture

WIDTHS = (64, 128, 256, 512)
"""Channels of the encoder at full width; the decoder mirrors them."""


class FCN(nn.Module):
    """Four 3x3 convolutions with pooling between them, three 2x2 transposed convolutions and a 1x1 head.

    Kernels are not stated in the paper; 3x3 "same" with ReLU gives 2,239,682 parameters at full width.
    """

    def __init__(self, width: float = 1.0, in_channels: int = 3, classes: int = 2) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__()
        a, b, c, d = (max(1, round(width * channels)) for channels in WIDTHS)
        self.encoder = nn.Sequential(
            *_convolution(in_channels, a),
            nn.MaxPool2d(2),
            *_convolution(a, b),
            nn.MaxPool2d(2),
            *_convolution(b, c),
            nn.MaxPool2d(2),
            *_convolution(c, d),
        )
        self.decoder = nn.Sequential(*_upsampling(d, c), *_upsampling(c, b), *_upsampling(b, a))
        self.head = nn.Conv2d(a, classes, kernel_size=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                # Without batch normalisation the default initialisation shrinks the signal at every layer.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, pre: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of normalised images (N, 3, H, W); H and W are multiples of 8."""
        logits: Tensor = self.head(self.decoder(self.encoder(pre)))
        return logits


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)]


def _upsampling(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2), nn.ReLU(inplace=True)]


ARCHITECTURES = (
    Architecture("fcn", lambda width, _depths, _classes: FCN(width), inputs=("pre",)),
    Architecture("waste_fcn", lambda width, _depths, classes: FCN(width, classes=classes), label_bias="head.bias"),
)
