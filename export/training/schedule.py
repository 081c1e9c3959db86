"""How fast a run learns at each moment, and the running average of its weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

Schedule = Literal["constant", "one-cycle", "halving", "poly"]

_WARM_UP = 0.03
_HALVINGS = 4
_POLY_WARM_UP, _POLY_POWER = 1_500 / 40_000, 0.95


def learning_rate(peak: float, schedule: Schedule, progress: float) -> float:
    """Return the rate at ``progress`` in [0, 1] of a run.

    ``one-cycle`` warms up linearly to ``peak`` and falls as a cosine to 0. ``halving`` begins at ``peak`` and halves at
    each fifth of the run, as CogSeg does after every 50 of its 250 epochs. ``poly`` warms up linearly over the first
    1,500 of 40,000 steps and falls to 0 with the power 0.95, as FANet does.
    """
    if schedule == "constant":
        return peak
    if schedule == "halving":
        return peak * 0.5 ** min(int(progress * (_HALVINGS + 1)), _HALVINGS)
    if schedule == "poly":
        return peak * min(progress / _POLY_WARM_UP, 1.0) * math.pow(1 - progress, _POLY_POWER)
    if progress < _WARM_UP:
        return peak * max(progress / _WARM_UP, 0.1)
    return peak * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2


def average_into(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average's weights and statistics towards the network's: decay of the old, the rest of the new."""
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)
