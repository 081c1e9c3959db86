"""The decision rule of `gateway.vision.labels.decide`, inside a graph."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor


def quantised_and_decided(logits: Tensor, threshold: float | None) -> tuple[Tensor, Tensor]:
    """Return the label map, uint8 (N, H, W), and the probabilities, uint8 (N, H, W, C), of logits (N, C, H, W).

    Probabilities are round(255 · softmax).

    The label map follows from the quantised probabilities, so that both outputs agree with each other to the bit.
    """
    # Classes last once, for softmax, argmax and the output alike.
    quantised = torch.round(255 * logits.permute(0, 2, 3, 1).softmax(dim=-1))
    return _decided(quantised, threshold).to(torch.uint8), quantised.to(torch.uint8)


def _decided(quantised: Tensor, threshold: float | None) -> Tensor:
    if threshold is None:
        return quantised.argmax(dim=-1)
    foreground = quantised[..., 1:]
    likeliest = foreground.argmax(dim=-1) + 1
    # The slack of `gateway.vision.labels.decide`: t = k/255 is not exactly representable.
    least = ceil(255 * threshold - 1e-6)
    return torch.where(foreground.sum(dim=-1) >= least, likeliest, 0)
