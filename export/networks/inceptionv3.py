"""InceptionV3 (Szegedy et al., 2016) as Keras has it, under the head of the paper on radiographs."""

from __future__ import annotations

from torch import Tensor, nn

from export.networks.architecture import Architecture
from export.networks.keras_layers import FILM_DEPTHS, Branches, ConvNorm, FilmNetwork, inception_stem, pooled, scaled


class InceptionV3(FilmNetwork):
    """Takes (N, 3, S, S) in [0, 1], S at least 75; features of 224 are 5x5x2048."""

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        """Build the network; `depth` changes nothing, since no block is repeated often."""
        backbone = _Backbone(width)
        super().__init__(backbone, backbone.channels, width, dropout=0.5)


class _Backbone(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        self._width = width
        self.stem, self.channels = inception_stem(width)
        fine = [self._fine(pool) for pool in (32, 64, 64)]
        middle = [self._shrunk_fine(), *(self._middle(inner) for inner in (128, 160, 160, 192))]
        self.mixed = nn.Sequential(*fine, *middle, self._shrunk_middle(), self._coarse(), self._coarse())

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        features: Tensor = self.mixed(self.stem(images))
        return features

    def _of(self, channels: int) -> int:
        return scaled(channels, self._width)

    def _fine(self, pool: int) -> Branches:
        """Return one of Keras' mixed0 to mixed2."""
        before, c48, c64, c96 = self.channels, self._of(48), self._of(64), self._of(96)
        self.channels = 2 * c64 + c96 + self._of(pool)
        return Branches(
            ConvNorm(before, c64, 1),
            nn.Sequential(ConvNorm(before, c48, 1), ConvNorm(c48, c64, 5)),
            nn.Sequential(ConvNorm(before, c64, 1), ConvNorm(c64, c96, 3), ConvNorm(c96, c96, 3)),
            pooled(before, self._of(pool)),
        )

    def _shrunk_fine(self) -> Branches:
        """Return mixed3, which halves the size."""
        before, c64, c96, c384 = self.channels, self._of(64), self._of(96), self._of(384)
        self.channels = before + c96 + c384
        return Branches(
            ConvNorm(before, c384, 3, stride=2, same=False),
            nn.Sequential(ConvNorm(before, c64, 1), ConvNorm(c64, c96, 3), ConvNorm(c96, c96, 3, stride=2, same=False)),
            nn.MaxPool2d(3, stride=2),
        )

    def _middle(self, inner: int) -> Branches:
        """Return one of mixed4 to mixed7, whose 7x7 kernels are taken apart."""
        before, inner, c192 = self.channels, self._of(inner), self._of(192)
        self.channels = 4 * c192
        return Branches(
            ConvNorm(before, c192, 1),
            nn.Sequential(ConvNorm(before, inner, 1), ConvNorm(inner, inner, (1, 7)), ConvNorm(inner, c192, (7, 1))),
            nn.Sequential(
                ConvNorm(before, inner, 1),
                ConvNorm(inner, inner, (7, 1)),
                ConvNorm(inner, inner, (1, 7)),
                ConvNorm(inner, inner, (7, 1)),
                ConvNorm(inner, c192, (1, 7)),
            ),
            pooled(before, c192),
        )

    def _shrunk_middle(self) -> Branches:
        """Return mixed8, which halves the size."""
        before, c192, c320 = self.channels, self._of(192), self._of(320)
        self.channels = before + c192 + c320
        return Branches(
            nn.Sequential(ConvNorm(before, c192, 1), ConvNorm(c192, c320, 3, stride=2, same=False)),
            nn.Sequential(
                ConvNorm(before, c192, 1),
                ConvNorm(c192, c192, (1, 7)),
                ConvNorm(c192, c192, (7, 1)),
                ConvNorm(c192, c192, 3, stride=2, same=False),
            ),
            nn.MaxPool2d(3, stride=2),
        )

    def _coarse(self) -> Branches:
        """Return mixed9 or mixed10, whose last 3x3 kernels go both ways at once."""
        before, c192, c320, c384, c448 = self.channels, *map(self._of, (192, 320, 384, 448))
        self.channels = c320 + 4 * c384 + c192
        return Branches(
            ConvNorm(before, c320, 1),
            nn.Sequential(ConvNorm(before, c384, 1), _both_ways(c384)),
            nn.Sequential(ConvNorm(before, c448, 1), ConvNorm(c448, c384, 3), _both_ways(c384)),
            pooled(before, c192),
        )


def _both_ways(channels: int) -> Branches:
    return Branches(ConvNorm(channels, channels, (1, 3)), ConvNorm(channels, channels, (3, 1)))


ARCHITECTURES = (
    Architecture("inceptionv3", lambda width, depths, _: InceptionV3(width, depths), FILM_DEPTHS, keras=True),
)
