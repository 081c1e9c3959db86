"""Transformer blocks over tokens, named as in DAHiTra's reference (which has them from BIT and, in turn, vit-pytorch).

Tokens are (N, tokens, channels). Scores are scaled by the tokens' width, not by the heads': so did those who trained
the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of a stack of blocks: channels of the tokens, number of blocks, heads in each, and channels of a head."""

    width: int
    depth: int
    heads: int
    head_width: int

    @property
    def inner(self) -> int:
        """Channels of all heads together."""
        return self.heads * self.head_width


class Encoder(nn.Module):
    """Blocks of self-attention and a small perceptron, each normalised first and added to what it was given."""

    def __init__(self, shape: Shape) -> None:
        """Build the blocks."""
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [_Residual(shape.width, _SelfAttention(shape)), _Residual(shape.width, _Perceptron(shape.width))]
            )
            for _ in range(shape.depth)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        for block in self.layers:
            assert isinstance(block, nn.ModuleList)  # noqa: S101  # torch's annotation forgets what the list is of
            for layer in block:
                tokens = layer(tokens)
        return tokens


class Decoder(nn.Module):
    """Blocks in which every position asks a few tokens; the memory goes through the position's own normalisation."""

    def __init__(self, shape: Shape) -> None:
        """Build the blocks."""
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [_Asking(shape.width, _CrossAttention(shape)), _Residual(shape.width, _Perceptron(shape.width))]
            )
            for _ in range(shape.depth)
        )

    def forward(self, positions: Tensor, memory: Tensor) -> Tensor:
        """Return positions of the same shape; `memory` has tokens of the same width."""
        for block in self.layers:
            assert isinstance(block, nn.ModuleList)  # noqa: S101  # as above
            asking, perceptron = block
            positions = perceptron(asking(positions, memory))
        return positions


class _Normed(nn.Module):
    """A layer behind a layer norm."""

    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), fn


class _Residual(nn.Module):
    """tokens + fn(norm(tokens))."""

    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.fn = _Normed(width, fn)

    def forward(self, tokens: Tensor) -> Tensor:
        added: Tensor = self.fn.fn(self.fn.norm(tokens))
        return tokens + added


class _Asking(_Residual):
    """positions + fn(norm(positions), norm(memory))."""

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:  # type: ignore[override]
        added: Tensor = self.fn.fn(self.fn.norm(tokens), self.fn.norm(memory))
        return tokens + added


class _SelfAttention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.scale = shape.heads, shape.width**-0.5
        self.to_qkv = nn.Linear(shape.width, 3 * shape.inner, bias=False)
        self.to_out = _output(shape)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.to_qkv(tokens).chunk(3, dim=-1)
        output: Tensor = self.to_out(_attend(query, key, value, self.heads, self.scale))
        return output


class _CrossAttention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.scale = shape.heads, shape.width**-0.5
        self.to_q, self.to_k, self.to_v = (nn.Linear(shape.width, shape.inner, bias=False) for _ in range(3))
        self.to_out = _output(shape)

    def forward(self, positions: Tensor, memory: Tensor) -> Tensor:
        attended = _attend(self.to_q(positions), self.to_k(memory), self.to_v(memory), self.heads, self.scale)
        output: Tensor = self.to_out(attended)
        return output


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float) -> Tensor:
    """Return (N, positions, heads · channels) of a query of that shape, and a key and value (N, tokens, …)."""
    query, key, value = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (query, key, value))
    shares = (query @ key.transpose(-2, -1) * scale).softmax(dim=-1)
    return (shares @ value).transpose(1, 2).flatten(2)


def _output(shape: Shape) -> nn.Sequential:
    # The reference has a dropout of 0 behind it, hence its index in a sequence.
    return nn.Sequential(nn.Linear(shape.inner, shape.width))


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # Indices 2 and 4 of the reference are dropouts of 0.
        self.net = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Identity(), nn.Linear(width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        output: Tensor = self.net(tokens)
        return output
