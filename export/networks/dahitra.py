"""DAHiTra (Kaur et al., 2023): damage from differences of features, compared level by level through a few tokens.

Names are the reference's, and so are its peculiarities, without which its weights would mean something else: the
backbone was asked to dilate and does not, it only keeps its stride; embeddings of tokens are looked up by the wrong
number; parts that never run are in the weights. Its modules appear there under a second name too, see `undoubled`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.architecture import Architecture
from export.networks.attention import Decoder, Encoder, Shape
from export.networks.colours import DAHITRA, DAHITRA_LEVIR
from export.networks.resnet import PLANES, STEM, BasicBlock

TOKENS = 4
"""Tokens that one image is summed up in, per level."""

PUBLISHED_THRESHOLD = 0.3
"""From which P(building) on the reference calls a pixel of xBD a building."""

_TOKEN_WIDTH, _LEAST_TOKEN, _HEAD_WIDTH, _IMAGENET = 32, 8, 64, 1000
_HEADS = {5: 4, 4: 4, 3: 8, 2: 1}
"""Level → heads. A level's features have a side of 1 / 2^(level - 1); the decoder has as many blocks as heads."""

_PARTS = ("conv_squeeze", "conv_token", "conv_decode", "transformer", "transformer_decoder")
_UNUSED = ("resnet.layer4", "resnet.fc", "conv_pred", *(f"{part}_2" for part in _PARTS))
_SECOND_NAME = re.compile(rf"^({'|'.join(_PARTS)})s?_layers\.([0-3])\.")


class Hierarchy(nn.Module, ABC):
    """What the networks for both data sets have in common.

    `embeddings` names what is added to the tokens of a level; `unused` what never runs.
    """

    embeddings: ClassVar[Mapping[int, str]]
    unused: ClassVar[tuple[str, ...]]

    def __init__(self, width: float, classes: int) -> None:
        """Build the layers; ``width`` scales every hidden one, tokens and heads too."""
        super().__init__()
        channels = [_scaled(planes, width) for planes in (STEM, *PLANES)]
        # Over a channel or two, normalisation leaves of a token no more than signs.
        token = max(_LEAST_TOKEN, _scaled(_TOKEN_WIDTH, width))
        self.resnet = _Backbone(channels)
        self.conv_pred = nn.Conv2d(_scaled(384, width), token, kernel_size=3, padding=1)
        for level, heads in _HEADS.items():
            # The level that never runs has one head as wide as a token.
            head = _scaled(_HEAD_WIDTH if level > 2 else _TOKEN_WIDTH, width)
            squeeze = nn.Conv2d(channels[level - 2], token, kernel_size=1, bias=False)
            self.add_module(f"conv_squeeze_{level}", nn.Sequential(squeeze, nn.ReLU()))
            self.add_module(f"conv_token_{level}", nn.Conv2d(token, TOKENS, kernel_size=1, bias=False))
            self.add_module(f"conv_decode_{level}", nn.Conv2d(2 * token, token, kernel_size=3, padding=1, bias=False))
            self.add_module(f"transformer_{level}", Encoder(Shape(token, 1, heads, head)))
            self.add_module(f"transformer_decoder_{level}", Decoder(Shape(token, heads, heads, head)))
        finest = 2 * channels[0]
        self.conv_layer2_0 = nn.Sequential(
            nn.Conv2d(finest, finest, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(finest),
            nn.ReLU(),
            nn.Conv2d(finest, token, kernel_size=3, padding=1),
        )
        self.classifier = nn.Conv2d(token, classes, kernel_size=3, padding=1)

    def answers(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return the reference's answers (N, classes, H, W)."""
        # One batch of both roles halves the number of kernels; batch normalisation has one set of statistics.
        levels = [each.unflatten(0, (2, -1)).unbind() for each in self.resnet(torch.cat([pre, post]))]
        merged = _doubled(self._compared(5, *levels[3]))
        merged = self._smoothed(4, _doubled(self._compared(4, *levels[2]) + merged))
        merged = self._smoothed(3, _doubled(self._compared(3, *levels[1]) + merged))
        finest = self.conv_layer2_0(torch.cat(levels[0], dim=1))
        answers: Tensor = self.classifier(self._smoothed(2, _doubled(finest + merged)))
        return answers

    def executed(self) -> Hierarchy:
        """Return the network without the parts that never run."""
        network = deepcopy(self)
        for name in self.unused:
            parent, _, part = name.rpartition(".")
            delattr(network.get_submodule(parent), part)
        return network

    @abstractmethod
    def _asked(self, level: int, before: Tensor, after: Tensor, told: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the features (N, C, h, w) of both images as they are compared, with what their tokens tell."""

    @abstractmethod
    def _smoothed(self, level: int, merged: Tensor) -> Tensor:
        """Return what a level gave, (N, C, H, W), after it was doubled."""

    def _compared(self, level: int, before: Tensor, after: Tensor) -> Tensor:
        """Return what differs between features (N, C, h, w) of both images, (N, token width, h, w)."""
        squeeze = self.get_submodule(f"conv_squeeze_{level}")
        before, after = squeeze(before), squeeze(after)
        tokens = torch.cat([self._tokens(level, before), self._tokens(level, after)], dim=1)
        if level in self.embeddings:
            tokens = tokens + self.get_parameter(self.embeddings[level])
        told_before, told_after = self.get_submodule(f"transformer_{level}")(tokens).chunk(2, dim=1)
        seen = self._asked(level, before, after, (told_before, told_after))
        asked = self.get_submodule(f"conv_decode_{level}")(torch.cat(seen, dim=1))
        return self._decoded(level, asked, (told_after - told_before).abs())

    def _decoded(self, level: int, asked: Tensor, memory: Tensor) -> Tensor:
        """Return (N, C, h, w): every position of `asked` with what tokens (N, tokens, C) tell it."""
        decoder = self.get_submodule(f"transformer_decoder_{level}")
        decoded = decoder(asked.flatten(2).transpose(1, 2), memory).transpose(1, 2)
        unfolded: Tensor = decoded.unflatten(2, asked.shape[2:])
        return unfolded

    def _tokens(self, level: int, features: Tensor) -> Tensor:
        """Return (N, TOKENS, C): means of features (N, C, h, w), each over where one map is strong."""
        shares = self.get_submodule(f"conv_token_{level}")(features).flatten(2).softmax(dim=-1)
        tokens: Tensor = shares @ features.flatten(2).transpose(1, 2)
        return tokens


class DAHiTra(Hierarchy):
    """The network for xBD. 13,078,733 parameters at full width, those that never run among them."""

    # The reference looks embeddings up by the place of a level in its lists, and only the last has one there.
    embeddings: ClassVar[Mapping[int, str]] = {5: "pos_embedding_3"}
    unused = (*_UNUSED, "pos_embedding_4", "pos_embedding_5")

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__(width, classes=5)
        token = self.classifier.in_channels
        for level in (5, 4, 3):
            self.register_parameter(f"pos_embedding_{level}", _learnt(2 * TOKENS, token))
        for level in (2, 3, 4):
            smoothing = nn.Conv2d(token, token, kernel_size=3, padding=1)
            self.add_module(f"conv_layer{level}", nn.Sequential(smoothing, nn.ReLU()))

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return logits (N, 5, H, W) whose softmax says what the reference reads off its answers.

        That is P(building) = sigmoid(answer 0), and the damage of a building distributed as the softmax of answers 1
        to 4. A threshold of 0.3 on P(building), and then the likeliest class, is the reference's rule.

        Args:
            pre: (N, 3, H, W), BGR, pixel / 127 - 1; sides are multiples of 16.
            post: likewise. The reference takes both as one tensor of six channels, and parts them first.
        """
        answers = self.answers(pre, post).float()
        building, damage = answers[:, :1], answers[:, 1:].log_softmax(dim=1)
        return torch.cat([torch.zeros_like(building), building + damage], dim=1)

    def _asked(self, level: int, before: Tensor, after: Tensor, told: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return before, after

    def _smoothed(self, level: int, merged: Tensor) -> Tensor:
        smoothed: Tensor = self.get_submodule(f"conv_layer{level}")(merged)
        return smoothed


class DAHiTraLEVIR(Hierarchy):
    """The network for LEVIR-CD: has a building changed? Its positions are learnt, so it takes 256×256 pixels alone."""

    embeddings: ClassVar[Mapping[int, str]] = {level: f"pos_embedding_{level}" for level in (5, 4, 3)}
    unused = (*_UNUSED, "pos_embedding_2", "pos_embedding_decoder_2")

    def __init__(self, width: float = 1.0) -> None:
        """Build the layers with every hidden width scaled by ``width``."""
        super().__init__(width, classes=2)
        token = self.classifier.in_channels
        for level, side in ((5, 16), (4, 32), (3, 64), (2, 64)):
            self.register_parameter(f"pos_embedding_{level}", _learnt(2 * TOKENS, token))
            self.register_parameter(f"pos_embedding_decoder_{level}", _learnt(token, side, side))

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return logits (N, 2, 256, 256) of images (N, 3, 256, 256), RGB, normalised with mean and deviation 0.5."""
        return self.answers(pre, post)

    def _asked(self, level: int, before: Tensor, after: Tensor, told: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self._decoded(level, before, told[0]), self._decoded(level, after, told[1])

    def _smoothed(self, level: int, merged: Tensor) -> Tensor:
        return merged

    def _decoded(self, level: int, asked: Tensor, memory: Tensor) -> Tensor:
        return super()._decoded(level, asked + self.get_parameter(f"pos_embedding_decoder_{level}"), memory)


def undoubled(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a published file under one name each.

    The reference keeps the modules of its levels in lists too, whose names appear in its files beside the others.

    Raises:
        ValueError: a weight differs under its two names; the message names it.
    """
    single = {}
    for key, value in weights.items():
        name = _SECOND_NAME.sub(lambda found: f"{found[1]}_{int(found[2]) + 2}.", key)
        if name in weights and not torch.equal(weights[name], value):
            raise ValueError(f"{key} differs from {name}")
        single[name] = value
    return single


class _Backbone(nn.Module):
    """ResNet-18, of which three stages run, the third on what the second gives, halved by pooling."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        pairs = zip(channels[:-1], channels[1:], (1, 2, 1, 1), strict=True)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(BasicBlock(before, after, stride), BasicBlock(after, after))
            for before, after, stride in pairs
        )
        self.fc = nn.Linear(channels[-1], _IMAGENET)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the features at a half, a quarter, an eighth and a sixteenth of the images' size."""
        half = self.relu(self.bn1(self.conv1(images)))
        quarter = self.layer1(self.maxpool(half))
        eighth = self.layer2(quarter)
        return half, quarter, eighth, self.layer3(self.maxpool(eighth))


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0)


def _learnt(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(1, *shape))


def _scaled(channels: int, width: float) -> int:
    return max(1, round(width * channels))


ARCHITECTURES = (
    Architecture(
        "dahitra",
        lambda width, *_: DAHiTra(width),
        inputs=("pre", "post"),
        colours=DAHITRA,
        adopted=undoubled,
        threshold=PUBLISHED_THRESHOLD,
    ),
    Architecture("dahitra_levir", lambda width, *_: DAHiTraLEVIR(width), inputs=("pre", "post"), colours=DAHITRA_LEVIR),
)
