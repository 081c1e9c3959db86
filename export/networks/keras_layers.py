"""What the Keras networks of radiographs are made of, and their common head.

Weights are named so that Keras' layers can be told from the path of a module, see `keras_names`. Inputs are
(N, 3, H, W) RGB in [0, 1], which the paper gave to every network in place of its own preprocessing. Source:
keras-applications, MIT. None of the four has a padded convolution or pool of stride 2, where Keras' "same" padding
would be lopsided: those are "valid", or follow an explicit, even padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

import torch
from torch import Tensor, nn

HIDDEN = 128
"""Units of the head's hidden layer at full width."""

CLASSES = 2
"""COVID-19 and NORMAL, in this order."""

FILM_DEPTHS = {"full": 1.0, "quarter": 0.25}
"""Name → the share of the published number of repeated blocks that a network of radiographs has."""


def scaled(channels: int, width: float) -> int:
    """Return the channels of a layer at `width`, at least one."""
    return max(1, round(channels * width))


def repeated(blocks: int, depth: float) -> int:
    """Return how often a block is repeated at `depth`, at least twice: first and last blocks of a stack differ."""
    return max(2, ceil(blocks * depth))


class ShiftNorm(nn.BatchNorm2d):
    """Batch normalisation that Keras calls ``scale=False``: it shifts, but its scale is 1 and no weight."""

    def __init__(self, channels: int) -> None:
        """Take Keras' epsilon."""
        super().__init__(channels, eps=1e-3)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class ConvNorm(nn.Module):
    """A convolution without bias, `ShiftNorm` and ReLU: Inception's ``conv2d_bn``.

    Args:
        before: channels of the input.
        after: channels of the output.
        kernel: height and width, or both in one.
        stride: 1 or 2.
        same: keep the size, which needs stride 1; else no padding.
    """

    def __init__(
        self, before: int, after: int, kernel: int | tuple[int, int], *, stride: int = 1, same: bool = True
    ) -> None:
        """Build both layers."""
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if same else (0, 0)
        self.conv = nn.Conv2d(before, after, (height, width), stride, padding, bias=False)
        self.norm = ShiftNorm(after)
        self.after = after

    def forward(self, features: Tensor) -> Tensor:
        """Return the features, not below 0."""
        return torch.relu(self.norm(self.conv(features)))


class Branches(nn.Module):
    """Several ways through a block, side by side; their channels are joined in the order given."""

    def __init__(self, *ways: nn.Module) -> None:
        """Keep the ways."""
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, features: Tensor) -> Tensor:
        """Return the joined channels."""
        return torch.cat([way(features) for way in self.ways], dim=1)


def pooled(before: int, after: int) -> nn.Sequential:
    """Return an average of 3x3 that does not count the padding, and a 1x1 `ConvNorm`."""
    return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False), ConvNorm(before, after, 1))


def inception_stem(width: float) -> tuple[nn.Sequential, int]:
    """Return what both Inception networks begin with, which leaves an eighth of the size; and its channels."""
    narrow, bottleneck, middle, wide = (scaled(channels, width) for channels in (32, 80, 64, 192))
    stem = nn.Sequential(
        ConvNorm(3, narrow, 3, stride=2, same=False),
        ConvNorm(narrow, narrow, 3, same=False),
        ConvNorm(narrow, middle, 3),
        nn.MaxPool2d(3, stride=2),
        ConvNorm(middle, bottleneck, 1, same=False),
        ConvNorm(bottleneck, wide, 3, same=False),
        nn.MaxPool2d(3, stride=2),
    )
    return stem, wide


def preactivated(channels: int) -> nn.BatchNorm2d:
    """Return batch normalisation as ResNetV2 and DenseNet have it."""
    return nn.BatchNorm2d(channels, eps=1.001e-5)


class Head(nn.Module):
    """The paper's: dropout, global average, hidden layer with ReLU, batch normalisation, one logit a class."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        """Build the layers for features of so many channels."""
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(channels, hidden)
        self.norm = nn.BatchNorm1d(hidden, eps=1e-3)
        self.dense_1 = nn.Linear(hidden, CLASSES)

    def activity(self, features: Tensor) -> Tensor:
        """Return the hidden layer's answer (N, hidden), not below 0, to features (N, channels, h, w)."""
        return torch.relu(self.dense(self.dropout(features).mean(dim=(2, 3))))

    def classify(self, activity: Tensor) -> Tensor:
        """Return the logits (N, 2)."""
        logits: Tensor = self.dense_1(self.norm(activity))
        return logits


class FilmNetwork(nn.Module):
    """A backbone and the paper's head.

    Args:
        backbone: takes (N, 3, S, S) in [0, 1] and gives features (N, channels, h, w).
        channels: of the features.
        width: scales the head.
        dropout: share of the features left out in training.
        members: networks learnt apart that answer together.
    """

    def __init__(self, backbone: nn.Module, channels: int, width: float, dropout: float, members: int = 1) -> None:
        """Put the head on, and draw the first weights as Keras does."""
        super().__init__()
        self.backbone = backbone
        self.head = Head(channels, members * scaled(HIDDEN, width), dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2) of images (N, 3, S, S) in [0, 1]."""
        return self.head.classify(self.head.activity(self.backbone(images)))


def standardised(films: Tensor, flat: float) -> Tensor:
    """Return films (N, C, S, S), each with a mean of 0 and a deviation of 1, or less where its own is near `flat`.

    Exposure and detector move and stretch a film's grey levels as a whole: so neither tells where it comes from.
    """
    centred = films - films.mean(dim=(1, 2, 3), keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=(1, 2, 3), keepdim=True) + flat**2)


def keras_size(modules: Iterable[nn.Module]) -> int:
    """Return how many parameters Keras counts in `modules`, the moving statistics of normalisation among them."""
    kept = (value for module in modules for value in module.state_dict().values() if value.is_floating_point())
    return sum(value.numel() for value in kept)


def keras_names(network: FilmNetwork) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name that Keras has for each layer with weights, and the layer.

    `ConvNorm`'s layers and the head's normalisation are numbered by Keras in the order of their making, which is the
    order here. All others are named by their path, in which the backbone, the head and whatever is but a sequence of
    layers have no part.
    """
    counts = {"conv2d": 0, "batch_normalization": 0}

    def numbered(kind: str) -> str:
        counts[kind] += 1
        return kind if counts[kind] == 1 else f"{kind}_{counts[kind] - 1}"

    modules = dict(network.named_modules())
    for path, module in modules.items():
        parents = [".".join(path.split(".")[:depth]) for depth in range(2, path.count(".") + 2)]
        if isinstance(module, nn.Conv2d) and isinstance(modules[path.rpartition(".")[0]], ConvNorm):
            yield numbered("conv2d"), module
        elif isinstance(module, ShiftNorm | nn.BatchNorm1d) and path.endswith(".norm"):
            yield numbered("batch_normalization"), module
        elif isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            named = [parent for parent in parents if not isinstance(modules[parent], nn.Sequential)]
            yield "_".join(parent.rpartition(".")[2] for parent in named), module
