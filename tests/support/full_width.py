"""Interactive models at the paper's size with weights that mean nothing, for measurements of speed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from export.checkpoints.files import Checkpoint
from export.networks import build_network
from export.registry import specs_of
from tests.support.unproven import write_unproven


def write_full_width(
    root: Path, architecture: str = "iog_refine", *, width: float = 1.0, depths: str = "resnet101", size: int = 512
) -> list[Path]:
    """Write the folders of an untrained interactive network under `root` and return them, encoder before head.

    No parity gate: at this size it takes minutes, and speed does not depend on what the weights are.
    """
    torch.manual_seed(0)
    network = build_network(architecture, width, depths).eval()
    _keep_magnitudes(network)
    checkpoint = Checkpoint(
        state_dict={},
        architecture=architecture,
        width=width,
        reduction=1,
        threshold=None,
        recipe="none",
        steps=0,
        seconds=0,
        device="cpu",
        seed=0,
        data="none",
        hyperparameters={},
        licence="Apache-2.0",
        depths=depths,
        size=size,
    )
    return write_unproven(root, network, checkpoint, specs_of(architecture))


def _keep_magnitudes(network: nn.Module) -> None:
    """Let each layer's output be about as large as its input: half precision holds no features that grow or vanish."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d) and name.endswith("bn3"):
            # Else each of the 33 residual blocks would double the variance.
            nn.init.constant_(layer.weight, 0.1)
